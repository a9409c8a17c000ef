"""Exact selections of the largest pre-activations, a block of rows at a time.

A selector is shown the pre-activations of consecutive rows and then asked for its choice, so that
the whole `[batch, d_sae]` matrix need never exist. Rows are looked at through the largest value of
small groups of features: the k largest of a row lie in the k groups with the largest maxima, which
leaves few candidates to sort (arXiv 2406.04093 selects from the full row).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.dictionaries.sparse.choice import Choice, starts_of
from interp.dictionaries.sparse.ranks import Ranks, kth_largest

_GROUP = 16
_WORTH_GROUPING = 4
"""Groups a row per chosen feature from which looking at groups first is the quicker way."""
_SAMPLE_ROWS = 64
_SLACK = 1.3
"""Candidates kept for each entry that will be chosen, by the estimate from a sample of rows."""


class Chosen(NamedTuple):
    """A selector's answer."""

    choice: Choice
    values: Float[Tensor, " active"]
    """The chosen pre-activations; those at or below zero count as off."""


@runtime_checkable
class Selector(Protocol):
    """Sees blocks of rows in order, then answers."""

    def see(self, block: Float[Tensor, "rows d_sae"]) -> None:
        """Take in the next rows; the block is overwritten afterwards."""
        ...

    def choose(self) -> Chosen | None:
        """The choice over all rows seen, or None: show everything again."""
        ...


class PerRow:
    """The k largest of every row (TopK, arXiv 2406.04093)."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.d_sae = 0
        self.features: list[Tensor] = []
        self.values: list[Tensor] = []

    def see(self, block: Float[Tensor, "rows d_sae"]) -> None:
        values, features = largest_per_row(block, self.k)
        self.d_sae = block.shape[1]
        self.features.append(features)
        self.values.append(values)

    def choose(self) -> Chosen:
        features = torch.cat(self.features)
        starts = torch.arange(0, features.numel() + 1, self.k, device=features.device)
        choice = Choice(features.flatten(), starts, self.d_sae)
        return Chosen(choice, torch.cat(self.values).flatten())


class OverBatch:
    """The k * batch largest positive entries of the whole batch (BatchTopK, arXiv 2412.06410).

    Entries equal to the smallest that is kept are all kept. A first sample of rows gives a floor
    that leaves few candidates; where the floor turns out too high for the k-th largest to be known,
    the rows have to be shown again, with none.
    """

    def __init__(self, k: float | int, ranks: Ranks) -> None:
        self.k, self.ranks = k, ranks
        self.floor: Tensor | None = None
        self.d_sae = self.n_rows = 0
        self.entries: list[tuple[Tensor, Tensor, Tensor]] = []

    def see(self, block: Float[Tensor, "rows d_sae"]) -> None:
        if self.floor is None:
            self.floor = self._estimate(block)
        flat = block.flatten()
        at = (flat > self.floor).nonzero().squeeze(1)
        self.d_sae = block.shape[1]
        rows = at.div(self.d_sae, rounding_mode="floor")
        self.entries.append((rows + self.n_rows, at - rows * self.d_sae, flat[at]))
        self.n_rows += block.shape[0]

    def _estimate(self, block: Float[Tensor, "rows d_sae"]) -> Float[Tensor, ""]:
        sample = block[:: max(1, block.shape[0] // _SAMPLE_ROWS)]
        n = min(sample.numel(), int(_SLACK * self.k * sample.shape[0]) + 1)
        return kth_largest(sample.flatten(), n).clamp(min=0.0)

    def choose(self) -> Chosen | None:
        assert self.floor is not None, "no block was shown"
        rows, features, values = (torch.cat(part) for part in zip(*self.entries, strict=True))
        n_kept = int(self.k * self.ranks.n_rows_global(self.n_rows))
        least = self.ranks.global_kth_largest(values, n_kept)
        highest_floor = -self.ranks.all_min(-self.floor)
        if highest_floor > 0 and not least > highest_floor:
            self.floor, self.n_rows, self.entries = torch.zeros_like(self.floor), 0, []
            return None
        if values.numel() and least > highest_floor:
            kept = (values >= least).nonzero().squeeze(1)
            rows, features, values = rows[kept], features[kept], values[kept]
        return Chosen(Choice(features, starts_of(rows, self.n_rows), self.d_sae), values)


class Largest(NamedTuple):
    """Values and columns, unsorted."""

    values: Float[Tensor, "rows k"]
    columns: Int[Tensor, "rows k"]


def largest_per_row(block: Float[Tensor, "rows d"], k: int) -> Largest:
    """The k largest of every row, exactly."""
    n_rows, width = block.shape
    n_groups = width // _GROUP
    if width % _GROUP or n_groups < _WORTH_GROUPING * k:
        return Largest(*block.topk(k, dim=-1, sorted=False))
    grouped = block.view(n_rows, n_groups, _GROUP)
    groups = grouped.amax(dim=-1).topk(k, dim=-1, sorted=False).indices
    first = torch.arange(n_rows, device=block.device)[:, None] * n_groups
    candidates = grouped.view(-1, _GROUP)[(first + groups).flatten()].view(n_rows, k * _GROUP)
    values, at = candidates.topk(k, dim=-1, sorted=False)
    group = groups.gather(1, at.div(_GROUP, rounding_mode="floor"))
    return Largest(values, group * _GROUP + at % _GROUP)
