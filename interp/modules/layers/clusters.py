"""Which neighbouring layers belong together, and which of them stands for the rest (2310.15477)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.results.errors import BadInput


class LayerClusters(NamedTuple):
    """Neighbouring layers in clusters, and how much more alike they are inside than across."""

    labels: Int[np.ndarray, " layers"]
    """Cluster of every layer, numbered from the first layer on."""
    merges: Int[np.ndarray, " merges"]
    """All neighbours from the most alike down: entry l joins the clusters of layers l and l + 1."""
    contrast: float
    """Mean similarity inside clusters less that across, each pair counted from the mean of the
    pairs as far apart. NaN with one cluster, or one a layer."""
    contrast_null: Float[np.ndarray, " shifts"]
    """The same with the profile of neighbour similarities, and so the cuts, moved along."""

    @property
    def p(self) -> float:
        """(1 + shifts with as much contrast) / (1 + shifts); NaN without a contrast."""
        if np.isnan(self.contrast):
            return float("nan")
        # Cuts that are as good may round apart.
        reached = int((self.contrast_null >= self.contrast - 1e-9).sum())
        return (1 + reached) / (1 + len(self.contrast_null))

    def centres(self) -> Int[np.ndarray, " clusters"]:
        """Of each cluster the member at place floor(size/2)."""
        members = (np.flatnonzero(self.labels == label) for label in np.unique(self.labels))
        return np.array([layers[len(layers) // 2] for layers in members])


def cluster_layers(
    cka: Float[np.ndarray, "layers layers"], n_clusters: int | None = None
) -> LayerClusters:
    """Join the neighbours that are most alike until `n_clusters` are left.

    Two clusters are as alike as the last layer of one and the first of the other: so the joins are
    the neighbours in falling order of similarity. Without `n_clusters` joining stops before the
    largest fall in it. Raises BadInput for more clusters than layers, or similarities that are NaN.
    """
    n = len(cka)
    if n_clusters is not None and not 1 <= n_clusters <= n:
        raise BadInput(f"{n_clusters} clusters of {n} layers: expected 1 to {n}")
    profile = np.diagonal(cka, offset=1)
    if np.isnan(profile).any():
        layer = int(np.flatnonzero(np.isnan(profile))[0])
        raise BadInput(
            f"layers {layer} and {layer + 1} have no similarity: one gives every example the same"
        )
    merges = np.argsort(-profile, kind="stable")
    n_merges = _before_largest_fall(profile[merges]) if n_clusters is None else n - n_clusters
    cuts = np.sort(merges[n_merges:])
    labels = _labels(cuts, n)
    shifted = [_labels(np.sort((cuts + shift) % (n - 1)), n) for shift in range(1, n - 1)]
    contrast = np.array([_contrast(cka, some) for some in [labels, *shifted]])
    return LayerClusters(labels, merges, float(contrast[0]), contrast[1:])


def shared(kept: Int[np.ndarray, " kept"], n_layers: int) -> tuple[int, ...]:
    """Which kept layer runs in every slot: the nearest, the later of two as near."""
    return tuple(
        int(min(kept, key=lambda layer: (abs(int(layer) - slot), -int(layer))))
        for slot in range(n_layers)
    )


def evenly_spaced(n_kept: int, n_layers: int) -> Int[np.ndarray, " kept"]:
    """The layers that uniform dropping keeps: the middles of equal stretches."""
    return np.floor((np.arange(n_kept) + 0.5) * n_layers / n_kept).astype(np.int64)


def _before_largest_fall(falling: Float[np.ndarray, " merges"]) -> int:
    if len(falling) < 2:
        return 0
    return int(np.argmax(falling[:-1] - falling[1:])) + 1


def _labels(cuts: Int[np.ndarray, " cuts"], n: int) -> Int[np.ndarray, " layers"]:
    starts = np.zeros(n, np.int64)
    starts[cuts + 1] = 1
    return np.cumsum(starts)


def _contrast(cka: Float[np.ndarray, "layers layers"], labels: Int[np.ndarray, " layers"]) -> float:
    n = len(cka)
    excess, inside = [], []
    for lag in range(1, n):
        values = np.diagonal(cka, offset=lag)
        excess.append(values - np.nanmean(values))
        inside.append(labels[lag:] == labels[:-lag])
    value, same = np.concatenate(excess), np.concatenate(inside)
    if same.all() or not same.any():
        return float("nan")
    return float(np.nanmean(value[same]) - np.nanmean(value[~same]))
