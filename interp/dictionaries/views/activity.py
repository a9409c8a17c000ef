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

_Z = 1.959963984540054
_SHIFT = 23 - 3
_FIRST = (127 + LOWEST_OCTAVE) * BINS_PER_OCTAVE


def bins_of(value: Float32[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Bin of each positive value: a float's leading bits are its octave and the part of it."""
    return np.clip((value.view(np.int32) >> _SHIFT) - _FIRST, 0, N_BINS - 1)


class ActivityCounts:
    """How often and how strongly each feature fires. Merging is exact for counts and maxima."""

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
        self.sums += np.bincount(core.feature, weights=core.value, minlength=d_sae)
        starts = segment_starts(core.feature)
        if len(starts):
            firing = core.feature[starts]
            highest = np.maximum.reduceat(core.value, starts)
            self.maxima[firing] = np.maximum(self.maxima[firing], highest)
        place = core.feature.astype(np.int64) * N_BINS + bins_of(core.value)
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
            density_interval=_wilson(self.n_active, self.n_rows),
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


def _wilson(n_active: Int[np.ndarray, " d_sae"], n: int) -> Float[np.ndarray, "d_sae 2"]:
    """Wilson's score interval for every feature at once (as `results.intervals.wilson`)."""
    if n == 0:
        return np.full((len(n_active), 2), np.nan)
    share, z2 = n_active / n, _Z**2
    centre = share + z2 / (2 * n)
    half = _Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    ends = np.stack([centre - half, centre + half], axis=1) / (1 + z2 / n)
    ends[n_active == 0, 0], ends[n_active == n, 1] = 0.0, 1.0
    return ends
