"""Choice: which features are on in each row of a batch, and the same read feature by feature."""

from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class ByFeature(NamedTuple):
    """The entries of a choice sorted by feature."""

    order: Int[Tensor, " active"]
    """Position in the choice of each sorted entry."""
    starts: Int[Tensor, " d_sae_and_one"]
    """Where each feature's entries begin."""


class Choice:
    """Entries row after row: entry i is feature `features[i]`, row r holds starts[r]:starts[r+1].

    The index half of a CSR matrix `[batch, d_sae]`; what an entry is worth is kept apart, since
    selection, reconstruction and gradients each weigh the same entries differently.
    """

    def __init__(
        self, features: Int[Tensor, " active"], starts: Int[Tensor, " rows_and_one"], d_sae: int
    ) -> None:
        self.features, self.starts, self.d_sae = features, starts, d_sae

    @property
    def n_rows(self) -> int:
        return self.starts.numel() - 1

    @cached_property
    def rows(self) -> Int[Tensor, " active"]:
        """The row of each entry."""
        numbers = torch.arange(self.n_rows, device=self.starts.device)
        return numbers.repeat_interleave(self.starts.diff(), output_size=self.features.numel())

    @cached_property
    def by_feature(self) -> ByFeature:
        """The entries sorted by feature, rows ascending within a feature."""
        ascending, order = self.features.sort(stable=True)
        edges = torch.arange(self.d_sae + 1, device=ascending.device, dtype=ascending.dtype)
        return ByFeature(order, torch.searchsorted(ascending, edges))

    def to_coo(self, values: Float[Tensor, " active"]) -> Float[Tensor, "rows d_sae"]:
        """The entries with these values as a sparse COO tensor, which sae-lens reads."""
        return torch.sparse_coo_tensor(
            torch.stack([self.rows, self.features]),
            values,
            (self.n_rows, self.d_sae),
            check_invariants=False,
        )


def starts_of(rows: Int[Tensor, " active"], n_rows: int) -> Int[Tensor, " rows_and_one"]:
    """Where each row begins in entries whose rows ascend."""
    edges = torch.arange(n_rows + 1, device=rows.device, dtype=rows.dtype)
    return torch.searchsorted(rows, edges)
