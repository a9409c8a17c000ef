"""Functions with several sub-functions: the best neurons of all of them, repetition counted.

A neuron that is among the best of many sub-functions counts many times, but it can only be in one
expert: a binomial test, as published, takes its repetitions for independent draws. Here they stay
together, and the partition is what is drawn at random.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

_PARTITIONS_AT_ONCE = 20_000


def multiplicities(top: Int[np.ndarray, "functions k"], n_units: int) -> Int[np.ndarray, " units"]:
    """In how many of the top sets each unit stands."""
    return np.bincount(top.ravel(), minlength=n_units)


def multiset_p(
    counts: Int[np.ndarray, " experts"],
    multiplicity: Int[np.ndarray, " units"],
    *,
    sizes: Int[np.ndarray, " experts"],
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " experts"]:
    """p of every expert's count of the multiset under random partitions into the same sizes.

    Exact (hypergeometric) where no unit stands twice, else (1 + draws as high) / (1 + draws). Of
    one expert a random partition is a random set of its size, of which only how many units of each
    multiplicity it holds matters: that is drawn from the multivariate hypergeometric law.
    """
    if multiplicity.max(initial=0) <= 1:
        n, chosen = len(multiplicity), int(multiplicity.sum())
        return np.clip(stats.hypergeom.sf(counts - 1, n, sizes, chosen), 0.0, 1.0)
    p = np.ones(len(counts))
    for size in np.unique(sizes):
        of_size = sizes == size
        null = np.sort(_null_counts(multiplicity, int(size), draws, rng))
        as_high = draws - np.searchsorted(null, counts[of_size], side="left")
        p[of_size] = (1 + as_high) / (1 + draws)
    return p


def _null_counts(
    multiplicity: Int[np.ndarray, " units"], size: int, draws: int, rng: np.random.Generator
) -> Int[np.ndarray, " draws"]:
    values, units = np.unique(multiplicity, return_counts=True)
    return np.concatenate(
        [
            rng.multivariate_hypergeometric(
                units, size, size=min(_PARTITIONS_AT_ONCE, draws - done), method="marginals"
            )
            @ values
            for done in range(0, draws, _PARTITIONS_AT_ONCE)
        ]
    )


def binomial_p(
    counts: Int[np.ndarray, " experts"],
    *,
    total: int,
    share: Float[np.ndarray, " experts"],
) -> Float[np.ndarray, " experts"]:
    """The published test: binomial, as if every repetition were drawn anew. For comparison only."""
    return np.clip(stats.binom.sf(counts - 1, total, share), 0.0, 1.0)
