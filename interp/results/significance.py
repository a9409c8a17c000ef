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


def smallest_mcnemar_p(n_discordant: int) -> float:
    """The smallest p that `mcnemar` can give when so many items differ: 2^(1 − n), at most 1.

    Where it is .05 or more, the test could not have succeeded whatever the models do.
    """
    return float(min(1.0, 2.0 ** (1 - n_discordant)))


def benjamini_hochberg(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """p-values adjusted for the false discovery rate (Benjamini and Hochberg 1995), in order.

    Rejecting what is below q keeps the expected share of false rejections at or below q when the
    tests are independent or positively dependent.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def paired_t(differences: Float[np.ndarray, " n"]) -> float:
    """Two-sided p of Student's t-test that the mean of paired differences is 0.

    1 where all are 0; NaN for fewer than two, and where all are equal but not 0 to 12 digits: with
    no spread there is nothing to hold the mean against, and `sign_flip` still has a p.
    """
    if len(differences) < 2:
        return float("nan")
    largest = float(np.abs(differences).max())
    if largest == 0.0:
        return 1.0
    if np.ptp(differences) <= 1e-12 * largest:
        return float("nan")
    t = differences.mean() / stats.sem(differences)
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


MAX_SIGN_FLIPS = 20


def sign_flip(differences: Float[np.ndarray, " n"]) -> float:
    """Exact two-sided p of a mean that is not 0: the share of all 2^n sign patterns as extreme.

    For one difference a training run, paired by seed (Fisher 1935): under the null each could as
    well have had the other sign. The smallest attainable p is 2^(1 − n): five seeds cannot reach
    .05. No difference at all gives 1. Raises ValueError above 20 differences, or on NaN.
    """
    if len(differences) > MAX_SIGN_FLIPS or np.isnan(differences).any():
        raise ValueError(
            f"sign_flip takes up to {MAX_SIGN_FLIPS} numbers, got {len(differences)}"
            f"{', with NaN among them' if np.isnan(differences).any() else ''}"
        )
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    # Patterns that tie with what was seen must count although their sums round differently.
    slack = 1e-12 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(float(differences.sum())) - slack))
