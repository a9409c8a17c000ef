"""Bootstrap intervals of ratios of sums."""

import numpy as np
from jaxtyping import Float

from interp.results.intervals import Interval

_AT_ONCE = 4_000_000


def ratio_bootstrap(
    part: Float[np.ndarray, " n"],
    whole: Float[np.ndarray, " n"],
    *,
    rng: np.random.Generator,
    draws: int = 10_000,
) -> Interval:
    """Sum of `part` over sum of `whole`, with the percentile bootstrap over the n pairs (95%).

    For a mean over tokens where documents are what was sampled: `part` and `whole` are a document's
    sum and its count. NaN without pairs, or where `whole` sums to 0.
    """
    n = len(part)
    if n == 0 or whole.sum() == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    block = max(1, _AT_ONCE // n)
    ratios = np.concatenate(
        [
            part[chosen].sum(axis=1) / whole[chosen].sum(axis=1)
            for done in range(0, draws, block)
            for chosen in [rng.integers(0, n, size=(min(block, draws - done), n))]
        ]
    )
    low, high = np.nanquantile(ratios, [0.025, 0.975])
    return Interval(float(part.sum() / whole.sum()), float(low), float(high))
