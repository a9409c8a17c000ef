"""What two sets of given sizes share by chance: the hypergeometric law, exact and in strata.

A universe of N holds sets of a and b; drawn at random they share X with
P(X = x) = C(a, x) C(N − a, b − x) / C(N, b). In strata that each keep their counts, the shared
numbers add up, and their law is the convolution of the strata's. Everything is computed in logs,
so that a p far below the smallest float is still told from another.
"""

from collections.abc import Sequence
from math import inf, log, sqrt
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.signal import convolve
from scipy.special import gammaln
from scipy.stats import norm

MOST_STRATA = 50
"""Above it the normal law of the summed mean and variance is used, as in one with more than"""
MOST_OUTCOMES = 100_000
"""numbers that can be shared in all strata together."""


class Stratum(NamedTuple):
    """The sizes of two sets within a universe, and what they share."""

    n: int
    first: int
    second: int
    shared: int

    @property
    def least(self) -> int:
        """The fewest that they can share."""
        return max(0, self.first + self.second - self.n)

    @property
    def most(self) -> int:
        """The most that they can share."""
        return min(self.first, self.second)


class ChanceTest(NamedTuple):
    """What is shared against what chance gives with every stratum's counts kept."""

    shared: int
    expected: float
    standard_deviation: float
    log_p_more: float
    """Natural log of P(X >= shared)."""
    log_p_less: float
    """Natural log of P(X <= shared)."""
    log_min_p: float
    """Natural log of the smallest p that sharing more could have given."""
    n_strata: int
    exact: bool
    """False where the normal law stands in for the convolution."""

    def can_succeed(self, tests: int = 1) -> bool:
        """Whether any number shared could have had a p of .05 over `tests`, or less."""
        return self.log_min_p <= log(0.05 / tests)


def chance_test(strata: Sequence[Stratum]) -> ChanceTest:
    """The test of what sets share in all strata together; strata that cannot vary count as is.

    With more than 50 strata, or 100,000 outcomes, P is the normal law's, half a unit corrected.
    """
    shared = sum(s.shared for s in strata)
    expected = sum(s.first * s.second / s.n for s in strata if s.n)
    deviation = sqrt(sum(map(_variance, strata)))
    varying = [s for s in strata if s.most > s.least]
    fixed = sum(s.least for s in strata if s.most == s.least)
    outcomes = sum(s.most - s.least for s in varying)
    exact = len(varying) <= MOST_STRATA and outcomes <= MOST_OUTCOMES
    more, less = (
        _tails(varying, shared - fixed)
        if exact
        else (
            float(norm.logsf((shared - 0.5 - expected) / deviation)),
            float(norm.logcdf((shared + 0.5 - expected) / deviation)),
        )
    )
    return ChanceTest(
        shared=shared,
        expected=expected,
        standard_deviation=deviation,
        log_p_more=more,
        log_p_less=less,
        log_min_p=sum(map(log_smallest_p, varying)),
        n_strata=len(strata),
        exact=exact,
    )


def log_probabilities(stratum: Stratum) -> Float64[np.ndarray, " outcomes"]:
    """log P(X = x) for x from the fewest to the most that can be shared.

    From the ratio of neighbours, normalised: differences of large log-factorials lose digits.
    """
    n, a, b = stratum.n, stratum.first, stratum.second
    x = np.arange(stratum.least, stratum.most, dtype=np.float64)
    steps = np.log((a - x) * (b - x)) - np.log((x + 1) * (n - a - b + x + 1))
    relative = np.concatenate([[0.0], np.cumsum(steps)])
    return relative - _log_sum(relative)


def log_smallest_p(stratum: Stratum) -> float:
    """log P(X = most): C(N − a, b − a) / C(N, b) for sets of a <= b in a universe of N."""
    n, small, large = stratum.n, stratum.most, max(stratum.first, stratum.second)
    return float(_log_choose(n - small, large - small) - _log_choose(n, large))


def _log_choose(n: int, k: int) -> float:
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)


def _variance(s: Stratum) -> float:
    if s.n < 2:
        return 0.0
    return s.first * s.second / s.n * (1 - s.first / s.n) * (s.n - s.second) / (s.n - 1)


def _tails(strata: Sequence[Stratum], shared: int) -> tuple[float, float]:
    """log P(X >= shared) and log P(X <= shared) of the sum over strata, exactly.

    Every stratum's law is tilted by e^(θx), with θ so that the sum's mean is what is shared. There
    the convolution is large, so that its rounding does not matter, and the tilt is taken out after.
    """
    least, most = sum(s.least for s in strata), sum(s.most for s in strata)
    if shared <= least or shared >= most:
        whole = sum(log_smallest_p(s) for s in strata) if shared >= most else _log_least(strata)
        at_end = min(whole, 0.0)
        if least == most:
            return 0.0, 0.0
        return (at_end, 0.0) if shared >= most else (0.0, at_end)
    laws = [log_probabilities(s) for s in strata]
    tilt = _tilt(laws, shared - least)
    tilted, log_scale = np.ones(1), 0.0
    for law in laws:
        weighted = law + tilt * np.arange(law.size)
        scale = _log_sum(weighted)
        tilted = np.maximum(convolve(tilted, np.exp(weighted - scale)), 0.0)
        log_scale += scale
    with np.errstate(divide="ignore"):
        log_p = np.log(tilted) + log_scale - tilt * np.arange(tilted.size)
    at = shared - least
    # The far tail lost its digits to the tilt: it is what the near one leaves.
    if tilt >= 0:
        return min(_log_sum(log_p[at:]), 0.0), _rest(log_p[at + 1 :])
    return _rest(log_p[:at]), min(_log_sum(log_p[: at + 1]), 0.0)


def _rest(log_p: Float64[np.ndarray, " outcomes"]) -> float:
    """log(1 − Σ p)."""
    return float(np.log1p(-min(np.exp(_log_sum(log_p)), 1.0 - 1e-16)))


def _log_least(strata: Sequence[Stratum]) -> float:
    return sum(float(log_probabilities(s)[0]) for s in strata)


def _tilt(laws: Sequence[Float64[np.ndarray, " _outcomes"]], mean: int) -> float:
    """θ at which the laws, each times e^(θx), have means that add up to `mean`."""

    def excess(theta: float) -> float:
        total = -float(mean)
        for law in laws:
            x = np.arange(law.size)
            weighted = law + theta * x
            total += float(np.exp(weighted - _log_sum(weighted)) @ x)
        return total

    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high *= 2
    root: Any = brentq(excess, low, high, xtol=1e-6)
    return float(root)


def _log_sum(log_p: Float64[np.ndarray, " outcomes"]) -> float:
    """log Σ e^x; minus infinity of nothing."""
    top = float(log_p.max()) if log_p.size else -inf
    return top if top == -inf else top + log(float(np.exp(log_p - top).sum()))
