"""Intervals: how far a number could be from what it estimates."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

_Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A value with its 95% interval, in the value's own unit; NaN where nothing was measured."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def apart_from(self, other: "Interval") -> bool:
        """Whether the two intervals do not overlap: stricter than a paired test."""
        return self.low > other.high or self.high < other.low


def wilson(successes: int, n: int) -> Interval:
    """Share of successes with Wilson's 95% score interval (Wilson 1927); n = 0 gives NaN.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n): inside [0, 1], and not of zero width at
    p = 0 or 1. 0 of 20 gives [0, .161].
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: expected 0 <= successes <= n")
    low, high = wilson_bounds(np.array([successes]), n)[0]
    return Interval(successes / n if n else float("nan"), float(low), float(high))


def wilson_bounds(successes: Int[np.ndarray, " items"], n: int) -> Float[np.ndarray, "items 2"]:
    """Both ends of `wilson`'s interval for many counts out of the same n."""
    if n == 0:
        return np.full((len(successes), 2), np.nan)
    share, z2 = successes / n, _Z95**2
    centre = share + z2 / (2 * n)
    half = _Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    ends = np.stack([centre - half, centre + half], axis=1) / (1 + z2 / n)
    ends[successes == 0, 0], ends[successes == n, 1] = 0.0, 1.0
    return ends


def mean_t(values: Float[np.ndarray, " n"]) -> Interval:
    """Mean over independent runs (seeds) with Student's 95% t-interval; below two runs NaN ends."""
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def paired_bootstrap(
    a: Float[np.ndarray, " items"] | Bool[np.ndarray, " items"],
    b: Float[np.ndarray, " items"] | Bool[np.ndarray, " items"],
    *,
    rng: np.random.Generator,
    draws: int = 10_000,
) -> Interval:
    """Mean of a − b over the same items, with the percentile bootstrap over items (95%)."""
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    n = len(difference)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    block = max(1, 4_000_000 // n)
    means = np.concatenate(
        [
            difference[rng.integers(0, n, size=(min(block, draws - done), n))].mean(axis=1)
            for done in range(0, draws, block)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(difference.mean()), float(low), float(high))
