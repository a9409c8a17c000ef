"""MeanOutputs: the mean of some heads' mixed values over a text."""

import torch
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention import LayerView
from interp.heads.attention.batch import HeadBatch
from interp.heads.columns import Head


class MeanOutputs:
    """An observer that adds up z over the text tokens, in float64."""

    needs: frozenset[str] | set[str] = frozenset({"z"})

    def __init__(self, heads: tuple[Head, ...]) -> None:
        self._sums: dict[Head, Tensor] = {}
        self._heads = heads
        self._n = 0

    def see(self, view: LayerView) -> None:
        """Take in one layer."""
        text = torch.from_numpy(view.batch.is_query).to(view.z.device)
        for head in self._heads:
            if head.layer == view.layer:
                total = view.z[:, :, head.head][text].double().sum(0)
                self._sums[head] = self._sums.get(head, 0) + total

    def end_batch(
        self, batch: HeadBatch, *, final_scale: Float[Tensor, "batch pos 1"] | None
    ) -> None:
        """After the last layer of a batch."""
        del final_scale
        self._n += int(batch.is_query.sum())

    def finish(self) -> dict[Head, Float[Tensor, " d_head"]]:
        """The mean of each head."""
        return {head: (total / max(self._n, 1)).float() for head, total in self._sums.items()}
