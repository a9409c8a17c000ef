"""What single units of a site do over a store's rows: moments, extremes, quantiles, contexts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from interp.capture.store import ActivationStore
from interp.results.errors import BadInput

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class UnitMoments:
    """Mean, spread and extremes of every unit of one site over the first `n_rows` rows."""

    n_rows: int
    mean: Float[np.ndarray, " units"]
    sd: Float[np.ndarray, " units"]
    """Population standard deviation."""
    low: Float[np.ndarray, " units"]
    high: Float[np.ndarray, " units"]

    @property
    def reach(self) -> Float[np.ndarray, " units"]:
        """How many standard deviations from its mean the furthest row lies; 0 where sd is 0."""
        furthest = np.maximum(self.high - self.mean, self.mean - self.low)
        return np.where(self.sd > 0, furthest / np.where(self.sd > 0, self.sd, 1.0), 0.0)


def n_units(store: ActivationStore, site: str) -> int:
    """Entries of one row of `site`, flattened."""
    return math.prod(store.shape(site))


def unit_moments(store: ActivationStore, site: str, *, max_rows: int) -> UnitMoments:
    """Moments of every unit in one pass over at most `max_rows` rows, in float64.

    Blocks are merged exactly (Chan, Golub and LeVeque 1983), so the block size does not matter.
    """
    width, n = n_units(store, site), 0
    mean, squares = np.zeros((2, width))
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for block in _blocks(store, site, max_rows):
        rows = len(block)
        delta = block.mean(axis=0) - mean
        squares += ((block - block.mean(axis=0)) ** 2).sum(axis=0)
        squares += delta**2 * (n * rows / (n + rows))
        mean += delta * (rows / (n + rows))
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
        n += rows
    if n == 0:
        raise BadInput(f"{store.path} holds no row: capture some tokens first")
    return UnitMoments(n_rows=n, mean=mean, sd=np.sqrt(squares / n), low=low, high=high)


def unit_values(
    store: ActivationStore, site: str, unit: int, *, max_rows: int
) -> Float32[np.ndarray, " rows"]:
    """One unit's activation at each of the first `max_rows` rows."""
    if not 0 <= unit < n_units(store, site):
        raise BadInput(f"unit {unit} of {site}: it has units 0 to {n_units(store, site) - 1}")
    found = [block[:, unit].astype(np.float32) for block in _blocks(store, site, max_rows)]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def strongest_rows(
    values: Float[np.ndarray, " rows"], sequence: Int64[np.ndarray, " rows"], *, k: int
) -> Int64[np.ndarray, " found"]:
    """The rows with the highest values, at most one a sequence, highest first, at most `k`.

    Ties go to the earlier row; NaN is never strongest.
    """
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    _, first = np.unique(sequence[order], return_index=True)
    found = order[np.sort(first)]
    return found[~np.isnan(values[found])][:k].astype(np.int64)


def context_rows(store: ActivationStore, row: int, *, width: int) -> tuple[int, int]:
    """The rows [start, stop) around `row` that belong to its sequence, `width` on either side."""
    start, stop = max(row - width, 0), min(row + width + 1, store.n_rows)
    sequence = store.column("sequence", start, stop)
    inside = np.flatnonzero(sequence == sequence[row - start])
    return start + int(inside[0]), start + int(inside[-1]) + 1


def expected_reach(n: int) -> float:
    """Expected largest distance from the mean, in sd, of `n` independent normal draws.

    Median of the maximum of |x|: Φ⁻¹((1 + 2^(−1/n)) / 2). Rows of one text are not independent,
    so it is a yardstick, not a test.
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + 0.5 ** (1 / n)) / 2) if n > 0 else float("nan")


def _blocks(
    store: ActivationStore, site: str, max_rows: int
) -> Iterator[Float[np.ndarray, "rows units"]]:
    """Rows of a site as float64, flattened, in blocks of some megabytes."""
    width = n_units(store, site)
    stop, step = min(store.n_rows, max_rows), max(_BLOCK_BYTES // max(8 * width, 1), 1)
    for start in range(0, stop, step):
        rows = store.rows(site, start, min(start + step, stop))
        yield rows.reshape(len(rows), width).astype(np.float64)
