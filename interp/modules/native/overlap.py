"""ExpertOverlap: experts that are chosen together, and experts whose weights are alike."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

_ROUNDS = 10_000


@dataclass(frozen=True, kw_only=True)
class ExpertOverlap:
    """Pairs of experts of every layer, beside what independence and shuffled neurons give."""

    together: Int64[np.ndarray, "layers experts experts"]
    """Tokens that chose both; on the diagonal, the tokens that chose the expert."""
    expected: Float64[np.ndarray, "layers experts experts"]
    """The same if choices were independent given each expert's load (quasi-independence: a token
    cannot choose one expert twice). NaN with one choice a token."""
    together_p: Float64[np.ndarray, " layers"]
    """Chi-square of `together` against `expected`, tokens and pairs taken as independent."""
    cosine: Float64[np.ndarray, "layers experts experts"]
    """Cosine of the weights of two experts, neuron by neuron in their own order."""
    cosine_null_mean: Float64[np.ndarray, "layers experts experts"]
    """The same with the second expert's neurons shuffled: what does not need the same order."""
    cosine_null_sd: Float64[np.ndarray, "layers experts experts"]
    n_shuffles: int

    @property
    def lift(self) -> Float64[np.ndarray, "layers experts experts"]:
        """Times more often together than expected; NaN on the diagonal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self.together / self.expected
        ratio[:, np.arange(ratio.shape[1]), np.arange(ratio.shape[1])] = np.nan
        return ratio

    @property
    def cosine_z(self) -> Float64[np.ndarray, "layers experts experts"]:
        """Standard deviations of the cosine above its null; NaN on the diagonal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            z = (self.cosine - self.cosine_null_mean) / self.cosine_null_sd
        z[:, np.arange(z.shape[1]), np.arange(z.shape[1])] = np.nan
        return z


def independent_pairs(
    n_chosen: Int64[np.ndarray, " experts"], k: int
) -> Float64[np.ndarray, "experts experts"]:
    """Expected pairs a_e a_f of distinct experts whose row sums are (k - 1) n_chosen[e].

    The model of quasi-independence with an empty diagonal (Goodman 1968), by iterative scaling;
    NaN for k = 1, and where no such table exists (an expert with more than half of all choices
    of two).
    """
    n = len(n_chosen)
    wanted = (k - 1) * n_chosen.astype(np.float64)
    if k < 2 or 2 * wanted.max() > wanted.sum() + 1e-9:
        return np.full((n, n), np.nan)
    a = np.sqrt(np.maximum(wanted, 0) / np.sqrt(max(wanted.sum(), 1.0)))
    for _ in range(_ROUNDS):
        others = a.sum() - a
        new = np.divide(wanted, others, out=np.zeros(n), where=others > 0)
        if np.abs(new - a).max() <= 1e-12 * max(new.max(), 1e-300):
            break
        # The geometric mean of both steps: the plain step can alternate between two tables.
        a = np.sqrt(np.maximum(a * new, 0))
    table = np.outer(a, a)
    np.fill_diagonal(table, np.nan)
    return table


def independence_p(
    together: Int64[np.ndarray, "experts experts"],
    expected: Float64[np.ndarray, "experts experts"],
) -> float:
    """p of Pearson's chi-square over pairs, E (E - 3) / 2 degrees of freedom; NaN without any."""
    n = len(together)
    upper = np.triu_indices(n, 1)
    observed, fitted = together[upper], expected[upper]
    degrees = n * (n - 3) // 2
    if degrees < 1 or not np.isfinite(fitted).all():
        return float("nan")
    seen = fitted > 0
    statistic = ((observed[seen] - fitted[seen]) ** 2 / fitted[seen]).sum()
    return float(stats.chi2.sf(statistic, degrees))
