"""Attention by distance: the sum a number of tokens back, and at every other distance.

A query has as many earlier keys as its position, so distances are counted round them:

    key(i, d) = i - 1 - (d - 1) mod i

For every query each distance is a different earlier key until all have been, and distances differ
in nothing else.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.reading import LayerView


class ByDistance(NamedTuple):
    """What a pass showed of one distance and of all."""

    true: Float[np.ndarray, "sequences layers heads"]
    """Each sequence's mean over queries at the distance asked for."""
    every: Float[np.ndarray, "distances layers heads"]
    """Mean over sequences at each distance, from 1 on, of the same queries."""
    n_events: int
    """Queries that counted."""
    n_dropped: int
    """Sequences in which none did."""


class DistanceWatch:
    """Mean over queries of the attention `distance` tokens back; queries before that do not count.

    Other distances are wanted over all sequences only, so a batch is summed before they are read.
    """

    needs = frozenset({"pattern"})

    def __init__(self, distance: int, *, n_distances: int) -> None:
        self._distance, self._n = distance, n_distances
        self._weight: Tensor | None = None
        self._kept = np.zeros(0, bool)
        self._layers: list[Tensor] = []
        self._true: list[Float[np.ndarray, "batch layers heads"]] = []
        self._sums: dict[int, Float[np.ndarray, "heads distances"]] = {}
        self._n_events = self._n_dropped = 0

    def see(self, view: LayerView) -> None:
        """One layer."""
        if self._weight is None:
            self._weight = self._start(view.batch).to(view.pattern)
        pattern, weight = view.pattern, self._weight
        own = pattern.diagonal(offset=-self._distance, dim1=-2, dim2=-1)
        self._layers.append((own * weight[:, None, self._distance :]).sum(dim=-1))
        summed = (pattern * weight[:, None, :, None]).sum(dim=0)
        turned = at_distances(summed, self._n).double().cpu().numpy()
        self._sums[view.layer] = self._sums.get(view.layer, 0.0) + turned

    def _start(self, batch: HeadBatch) -> Tensor:
        counts = query_counts(batch.is_query, self._distance)
        n_queries = counts.sum(axis=1)
        self._kept = n_queries > 0
        self._n_events += int(n_queries.sum())
        self._n_dropped += int((~self._kept).sum())
        return torch.from_numpy(counts / np.maximum(n_queries, 1)[:, None])

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:  # noqa: ARG002
        """Keep the sequences in which some query counted."""
        by_layer = torch.stack(self._layers, dim=1)
        self._true.append(by_layer.double().cpu().numpy()[self._kept])
        self._layers, self._weight = [], None

    def finish(self) -> ByDistance:
        """Everything seen."""
        true = np.concatenate(self._true)
        sums = np.stack([self._sums[layer] for layer in sorted(self._sums)])
        every = sums.transpose(2, 0, 1) / max(len(true), 1)
        return ByDistance(true, every, self._n_events, self._n_dropped)


def query_counts(
    is_query: Bool[np.ndarray, "batch pos"], distance: int
) -> Bool[np.ndarray, "batch pos"]:
    """Which queries have a key so far back."""
    return is_query & (np.arange(is_query.shape[1]) >= distance)


def at_distances(
    pattern: Float[Tensor, "n_heads query key"], n_distances: int
) -> Float[Tensor, "n_heads distances"]:
    """Sum over queries at each distance, counted round the keys before each query."""
    n_pos = pattern.shape[-1]
    query = torch.arange(1, n_pos, device=pattern.device)
    back = torch.arange(n_distances, device=pattern.device)[:, None] % query
    index = query * n_pos + query - 1 - back
    found = pattern.flatten(1).index_select(1, index.flatten())
    return found.view(len(pattern), *index.shape).sum(dim=-1)
