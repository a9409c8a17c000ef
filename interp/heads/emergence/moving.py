"""Moving together: whether two curves' fluctuations agree, beside the rise that each of them has.

Two curves that saturate share their shape without sharing anything else, so nothing is read from
the shapes. Checkpoints around the jump of either curve are left out, and what remains is held
against three smooth descriptions of each curve: polynomials over checkpoints of n/4 and of n/3
terms, and the curve's own past (y of one checkpoint earlier, its square and time, which an
exponential and about every logistic curve obey). All have a step at both jumps. The fluctuations
left are ranked and correlated; p is the largest of the three.

Of 300 pairs of unrelated curves that both rise early (exponential or logistic, noise of .003 or
.03, independent or AR(1) of .8), at 20, 24, 30, 40 and 80 checkpoints, at most .03 have p ≤ .05;
where both rise at one checkpoint, at most .08. A common fluctuation of 1.5 times the noise is seen
in .11 to .51 of pairs at 20 checkpoints and in .45 to .97 at 40. That two curves rise at the same
checkpoint is one coincidence and has no p: it is what the lag tells.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import stats

LEAST_TO_TEST = 20
"""With fewer checkpoints too little is left of them beside the rises and their descriptions."""
_AROUND = 2
_LEAST_FREE = 4
_LEAST_LEFT = 9


class Together(NamedTuple):
    """How alike two curves fluctuate; NaN where there is no valid test."""

    correlation: float
    """Rank correlation of what the description with the largest p leaves, -1 to 1."""
    p: float
    """One-sided: alike, not opposed."""
    n: int
    """Checkpoints at which both curves are known."""


def co_movement(
    first: Float[np.ndarray, " steps"],
    second: Float[np.ndarray, " steps"],
    rises: Sequence[int],
) -> Together:
    """Whether two curves fluctuate together away from `rises`, checkpoints before which one jumps.

    Checkpoints where either curve is NaN are left out. NaN with fewer than 20 left, and where a
    curve is so smooth that nothing is left of it. No test of cause.
    """
    there = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    n = len(there)
    if n < LEAST_TO_TEST:
        return Together(float("nan"), float("nan"), n)
    # A rise before a checkpoint that is left out is one before the next that is there.
    places = sorted({int(np.searchsorted(there, rise)) for rise in rises})
    pair = np.stack([first[there], second[there]])
    tests = [_agreement(left) for left in _fluctuations(pair, places)]
    if not tests or any(np.isnan(p) for _, p in tests):
        return Together(float("nan"), float("nan"), n)
    return Together(*max(tests, key=lambda test: test[1]), n)


class _Left(NamedTuple):
    fluctuations: Float64[np.ndarray, "two kept"]
    free: int


def _fluctuations(pair: Float[np.ndarray, "two steps"], rises: Sequence[int]) -> Iterator[_Left]:
    """What each description leaves of both curves."""
    n = pair.shape[1]
    place = np.arange(n)
    calm = np.ones(n, dtype=bool)
    for rise in rises:
        calm &= (place < rise - _AROUND) | (place >= rise + _AROUND)
    steps = [(place >= rise).astype(np.float64) for rise in rises]
    time = np.linspace(-1, 1, n)
    for terms in (n // 4, n // 3):
        smooth = np.column_stack([np.polynomial.legendre.legvander(time, terms - 1), *steps])
        yield _left(pair[:, calm], [smooth[calm]] * 2)
    follows = np.flatnonzero(calm[1:] & calm[:-1]) + 1
    common = np.column_stack([np.ones(n), time, *steps])[follows]
    own = [
        np.column_stack([common, curve[follows - 1], np.square(curve[follows - 1])])
        for curve in pair
    ]
    yield _left(pair[:, follows], own)


def _left(values: np.ndarray, descriptions: Sequence[np.ndarray]) -> _Left:
    left, free = [], values.shape[1]
    for curve, description in zip(values, descriptions, strict=True):
        basis, sizes, _ = np.linalg.svd(description, full_matrices=False)
        basis = basis[:, sizes > 1e-8 * sizes.max(initial=0.0)]
        left.append(curve - basis @ (basis.T @ curve))
        free = min(free, len(curve) - basis.shape[1])
    # Rounding alone would be ranked like a fluctuation.
    silent = [np.abs(one).max(initial=0.0) <= 1e-9 * max(np.abs(curve).max(initial=0.0), 1e-300)
              for one, curve in zip(left, values, strict=True)]  # fmt: skip
    return _Left(np.stack(left), 0 if any(silent) or values.shape[1] < _LEAST_LEFT else free)


def _agreement(left: _Left) -> tuple[float, float]:
    """Spearman and its one-sided p by Student's t, with the degrees the description left free."""
    if left.free < _LEAST_FREE:
        return float("nan"), float("nan")
    ranks = [stats.rankdata(one) for one in left.fluctuations]
    x, y = (one - one.mean() for one in ranks)
    rho = float(x @ y / np.sqrt((x @ x) * (y @ y)))
    t = rho * np.sqrt((left.free - 1) / max(1 - rho**2, 1e-12))
    return rho, float(stats.t.sf(t, left.free - 1))


def rises_of(at: Int[np.ndarray, " curves"]) -> list[int]:
    """Of fitted jumps those that are there."""
    return [int(place) for place in at if place >= 0]
