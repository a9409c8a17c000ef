"""A p-value for one unit, fine enough to be corrected for all: its null pooled with units alike.

With 200 permutations a unit by itself cannot have p below .005, and none of ten thousand could pass
a false discovery rate. Standardised by its exact mean and spread under chance, average precision
has nearly the same law in every unit whose scores are tied alike, so units lend each other their
permutations. Pools are kept apart by how many ranks a unit has in effect (a ReLU unit that fires
on 20 rows has a heavier tail than one that fires on 1,000), in octaves of exp(Σ 1/r).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from interp.results.significance import benjamini_hochberg

LOW, HIGH, PER_UNIT = -8, 56, 64
N_BINS = (HIGH - LOW) * PER_UNIT
N_STRATA = 40
FEWEST = 20_000


class PooledNull:
    """Counts of standardised null scores by function, octave of ranks and size, in integers.

    Updates and merges in any order give the same counts.
    """

    def __init__(self, n_functions: int) -> None:
        self.counts = np.zeros((n_functions, N_STRATA, N_BINS), np.int64)

    def update(
        self,
        function: int,
        z: Float[np.ndarray, "draws units"],
        harmonic: Float64[np.ndarray, " units"],
    ) -> None:
        """Take in what permuted labels gave some units; NaN (no spread) is left out."""
        stratum = np.broadcast_to(_stratum(harmonic), z.shape)
        here = ~np.isnan(z)
        place = stratum[here] * N_BINS + _bin(z[here])
        counted = np.bincount(place, minlength=N_STRATA * N_BINS)
        self.counts[function] += counted.reshape(N_STRATA, N_BINS)

    def merge(self, other: "PooledNull") -> None:
        """Take in another's counts."""
        self.counts += other.counts

    def finish(
        self,
        z: Float[np.ndarray, "functions units"],
        harmonic: Float64[np.ndarray, "functions units"],
    ) -> "PooledP":
        """The p of what was seen: (1 + null scores as large) / (1 + null scores) of its pool.

        Exact for units tied alike, but for rounding up to the next 1/64 of a standard deviation.
        An octave of fewer than `FEWEST` null scores takes in its neighbours on both sides until it
        has them: a unit among others that fire more often then has a tail a little too light.
        """
        p, smallest = np.full(z.shape, np.nan), np.full(z.shape, np.nan)
        for function, (seen, ranks) in enumerate(zip(z, harmonic, strict=True)):
            at_least = self.counts[function][:, ::-1].cumsum(axis=1)[:, ::-1]
            for stratum in np.unique(_stratum(ranks[~np.isnan(seen)])):
                members = ~np.isnan(seen) & (_stratum(ranks) == stratum)
                pool = at_least[_window(at_least[:, 0], int(stratum))].sum(axis=0)
                smallest[function, members] = 1 / (1 + pool[0])
                p[function, members] = (1 + pool[_bin(seen[members])]) / (1 + pool[0])
        return PooledP(p, smallest)


class PooledP(NamedTuple):
    """p of every unit by itself, and the smallest that its pool could have given."""

    p: Float64[np.ndarray, "functions units"]
    """NaN where a unit's scores are all equal."""
    smallest: Float64[np.ndarray, "functions units"]


def _stratum(harmonic: Float64[np.ndarray, " units"]) -> Int[np.ndarray, " units"]:
    return np.minimum(harmonic / np.log(2), N_STRATA - 1).astype(np.int64)


def _bin(z: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return np.clip((z - LOW) * PER_UNIT, 0, N_BINS - 1).astype(np.int64)


def _window(sizes: Int[np.ndarray, " strata"], centre: int) -> slice:
    for reach in range(N_STRATA):
        window = slice(max(0, centre - reach), centre + reach + 1)
        if sizes[window].sum() >= FEWEST:
            return window
    return slice(None)


def max_t(
    observed: Float64[np.ndarray, "functions units"],
    null_best: Float64[np.ndarray, "functions draws"],
) -> Float64[np.ndarray, "functions units"]:
    """Family-wise p over units: (1 + permutations whose best unit scores as high) / (1 + all).

    Westfall and Young's single-step max-T. NaN for a unit without a score.
    """
    above = (null_best[:, None, :] >= observed[:, :, None]).sum(axis=2)
    p = (1 + above) / (1 + null_best.shape[1])
    return np.where(np.isnan(observed), np.nan, p)


def false_discovery(
    p: Float64[np.ndarray, "functions units"],
) -> Float64[np.ndarray, "functions units"]:
    """p adjusted for the false discovery rate over all units and functions; NaN is no test."""
    q = np.full(p.shape, np.nan)
    q[~np.isnan(p)] = benjamini_hochberg(p[~np.isnan(p)])
    return q
