"""Counts, moments and histogram of every feature's firings, in one pass."""

import numpy as np
from jaxtyping import Float, Float32, Int

from interp.dictionaries.views.firings import Firings, segment_starts
from interp.dictionaries.views.parts import (
    BINS_PER_OCTAVE,
    LOWEST_OCTAVE,
    N_BINS,
    QUANTILES,
    Activity,
    bin_edges,
)
from interp.results.intervals import wilson_bounds

_SHIFT = 23 - 3
_FIRST = (127 + LOWEST_OCTAVE) * BINS_PER_OCTAVE


def bins_of(value: Float32[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Bin of each |value|: a float's leading bits are its octave and the part of it."""
    return np.clip((np.abs(value).view(np.int32) >> _SHIFT) - _FIRST, 0, N_BINS - 1)


class ActivityCounts:
    """How often and how strongly each feature fires. Merging is exact for counts and maxima.

    Some architectures fire below zero as well: strength is the absolute activation.
    """

    def __init__(self, d_sae: int) -> None:
        self.n_rows = 0
        self.n_active = np.zeros(d_sae, np.int64)
        self.sums = np.zeros(d_sae)
        self.maxima = np.zeros(d_sae, np.float32)
        self.histogram = np.zeros((d_sae, N_BINS), np.int64)

    def update(self, core: Firings) -> None:
        """Count a batch without the rows around it."""
        d_sae = len(self.n_active)
        self.n_rows += core.n_rows
        self.n_active += np.bincount(core.feature, minlength=d_sae)
        strength = np.abs(core.value)
        self.sums += np.bincount(core.feature, weights=strength, minlength=d_sae)
        starts = segment_starts(core.feature)
        if len(starts):
            firing = core.feature[starts]
            highest = np.maximum.reduceat(strength, starts)
            self.maxima[firing] = np.maximum(self.maxima[firing], highest)
        place = core.feature.astype(np.int64) * N_BINS + bins_of(strength)
        np.add.at(self.histogram.reshape(-1), place, 1)

    def merge(self, other: "ActivityCounts") -> None:
        """Take in the counts of other rows."""
        self.n_rows += other.n_rows
        self.n_active += other.n_active
        self.sums += other.sums
        self.histogram += other.histogram
        np.maximum(self.maxima, other.maxima, out=self.maxima)

    def finish(self) -> Activity:
        """What was counted, as shares and quantiles."""
        n = np.maximum(self.n_active, 1)
        fires = self.n_active > 0
        return Activity(
            n_active=self.n_active,
            density=self.n_active / max(self.n_rows, 1),
            density_interval=wilson_bounds(self.n_active, self.n_rows),
            mean=np.where(fires, self.sums / n, np.nan),
            max=np.where(fires, self.maxima, np.nan),
            quantiles=histogram_quantiles(self.histogram, QUANTILES),
            histogram=self.histogram,
        )


def histogram_quantiles(
    histogram: Int[np.ndarray, "d_sae n_bins"], shares: tuple[float, ...]
) -> Float[np.ndarray, "d_sae n_shares"]:
    """The middle of the bin that each quantile lies in; NaN for an empty histogram."""
    edges = bin_edges()
    middle = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(histogram, axis=1)
    total = below[:, -1:]
    found = [
        middle[np.minimum((below < np.maximum(share * total, 1)).sum(axis=1), N_BINS - 1)]
        for share in shares
    ]
    return np.where(total > 0, np.stack(found, axis=1), np.nan)
