"""The decoder's sum of the chosen rows, beside what the dead features reconstruct."""

from typing import Any

from jaxtyping import Int
from torch import Tensor
from torch.autograd import Function

from interp.dictionaries.sparse.bags import bag_sums, table_gradient, value_gradient
from interp.dictionaries.sparse.choice import Choice, starts_of


class Decode(Function):
    """`values` over bags of entries times W_dec, and `dead_values` times the dead rows of it.

    A bag is a row of the batch, or a row at one nested width (Matryoshka). Both products share the
    one gradient of W_dec, written by feature.
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        dead_values: Tensor | None,
        W_dec: Tensor,
        choice: Choice,
        bags: "Bags",
        dead_features: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(values, dead_values, W_dec, dead_features)
        ctx.choice, ctx.bags = choice, bags
        out = bag_sums(W_dec, choice.features, bags.starts, values)
        if dead_values is None or dead_features is None:
            return out, None
        return out, dead_values @ W_dec[dead_features]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        values, dead_values, W_dec, dead_features = ctx.saved_tensors
        choice, bags = ctx.choice, ctx.bags
        by_out, by_dead_out = gradients
        assert by_out is not None, "the reconstruction is part of every loss"
        by_value = value_gradient(by_out, W_dec, choice.features, bags.starts, bags.of_entry)
        rows = table_gradient(by_out, values, bags.of_entry, choice.by_feature)
        by_dead = None
        if by_dead_out is not None and dead_values is not None:
            by_dead = by_dead_out @ W_dec[dead_features].T
            rows.index_add_(0, dead_features, dead_values.T @ by_dead_out)
        return by_value, by_dead, rows, None, None, None


class Bags:
    """Which entries of a choice are summed together."""

    def __init__(
        self, starts: Int[Tensor, " bags_and_one"], of_entry: Int[Tensor, " active"]
    ) -> None:
        self.starts, self.of_entry = starts, of_entry

    @classmethod
    def rows(cls, choice: Choice) -> "Bags":
        """A bag a row."""
        return cls(choice.starts, choice.rows)

    @classmethod
    def nested(cls, choice: Choice, widths: Int[Tensor, " n_widths"]) -> "Bags":
        """A bag a row and level: level l holds features from widths[l - 1] up to widths[l].

        Needs features that ascend within a row.
        """
        level = (choice.features[:, None] >= widths[:-1]).sum(dim=1)
        of_entry = choice.rows * widths.numel() + level
        return cls(starts_of(of_entry, choice.n_rows * widths.numel()), of_entry)
