"""Significance: how often chance alone would give what was seen."""

import numpy as np
from jaxtyping import Float
from scipy import stats


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p of two models on the same items (McNemar 1947).

    `only_first` items are right under the first model alone, `only_second` under the second
    alone. The smallest attainable p is 2^(1 − n) of their sum n: five or fewer cannot reach .05.
    """
    n = only_first + only_second
    if n == 0:
        return 1.0
    return float(min(1.0, 2 * stats.binom.cdf(min(only_first, only_second), n, 0.5)))


def holm(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """p-values adjusted for the family-wise error rate (Holm 1979), in the order given."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted
