"""How often chance alone would give an overlap: p-values of counts, for arrays of them."""

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import betainc


def overlap_p(
    found: Shaped[np.ndarray, "*axes"],
    *,
    drawn: Shaped[np.ndarray, "*axes"],
    marked: Shaped[np.ndarray, "*axes"],
    n: int,
) -> Float[np.ndarray, "*axes"]:
    """P(at least `found` of `drawn` out of `n` are among the `marked`), one-sided.

    The binomial tail I_p(found, drawn − found + 1) with p = marked / n. Draws without replacement
    (hypergeometric) vary less, by the factor (n − drawn) / (n − 1), so above the expected overlap
    it errs on the safe side; so it does where draws differ in their chance of being marked, and
    `marked` (of n = 1) is its mean. 1 where nothing was found; 0 stands for less than 1e-300.
    """
    found, drawn = np.asarray(found, np.float64), np.asarray(drawn, np.float64)
    share = np.clip(np.asarray(marked, np.float64) / max(n, 1), 0.0, 1.0)
    some = found > 0
    k = np.where(some, found, 1.0)
    p = betainc(k, np.maximum(drawn - k, 0.0) + 1.0, share)
    return np.where(some, p, 1.0)
