"""Enrichment: how many of a function's best neurons an expert holds, against a random set."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

_Z95 = 1.959963984540054


def top_units(
    score: Float[np.ndarray, "functions units"],
    k: int,
    *,
    eligible: Bool[np.ndarray, " units"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "functions k"]:
    """The `k` eligible units with the highest score of each function.

    Ties are broken at random: by index, ties would agree with experts that lie side by side.
    """
    order = rng.permutation(np.flatnonzero(eligible))
    best_first = np.argsort(-score[:, order], axis=1, kind="stable")
    return order[best_first[:, :k]]


def counts_in_experts(
    top: Int[np.ndarray, "functions k"], labels: Int[np.ndarray, " units"], n_experts: int
) -> Int[np.ndarray, "functions experts"]:
    """How many of each function's units are in each expert."""
    function = np.arange(len(top))[:, None]
    flat = (function * n_experts + labels[top]).ravel()
    return np.bincount(flat, minlength=len(top) * n_experts).reshape(len(top), n_experts)


def tails(
    n: int, k: int, sizes: Int[np.ndarray, " experts"]
) -> Float[np.ndarray, "experts counts"]:
    """P(X >= c) for c = 0..k, X hypergeometric: k of n units drawn, an expert of each size.

    Exact, one-sided: column c is the p-value of an expert that holds c of a function's k best.
    """
    of_size = {
        int(size): stats.hypergeom.sf(np.arange(-1, k), n, int(size), k)
        for size in np.unique(sizes)
    }
    return np.clip(np.stack([of_size[int(size)] for size in sizes]), 0.0, 1.0)


def p_values(
    counts: Int[np.ndarray, "functions experts"], tail: Float[np.ndarray, "experts counts"]
) -> Float[np.ndarray, "functions experts"]:
    """The tail of every count."""
    return tail[np.arange(len(tail))[None, :], counts]


def smallest_p(n: int, k: int, sizes: Int[np.ndarray, " experts"]) -> float:
    """The smallest p that can come out: as many of the k best in one expert as fit."""
    most = np.minimum(k, sizes)
    return float(tails(n, k, sizes)[np.arange(len(sizes)), most].min())


class Modularization(NamedTuple):
    """How much of a layer is functional, a value a function (arXiv 2305.18390)."""

    proportion: Float[np.ndarray, " functions"]
    """Share of the experts that are functional."""
    degree: Float[np.ndarray, " functions"]
    """Mean over functional experts of count over expected count; 0 where there is none."""


def modularization(
    functional: Bool[np.ndarray, "functions experts"],
    counts: Int[np.ndarray, "functions experts"],
    expected: Float[np.ndarray, " experts"],
) -> Modularization:
    """Proportion and degree. The degree is E where all of the k lie in one of E equal experts."""
    ratio = np.divide(counts, expected, out=np.zeros(counts.shape), where=expected > 0)
    n = functional.sum(axis=1)
    degree = np.where(functional, ratio, 0.0).sum(axis=1) / np.maximum(n, 1)
    return Modularization(functional.mean(axis=1), degree)


def odds_ratio(
    counts: Int[np.ndarray, "functions experts"],
    *,
    n: int,
    k: int,
    sizes: Int[np.ndarray, " experts"],
) -> Float[np.ndarray, "functions experts 3"]:
    """Odds of being among a function's k best inside an expert over outside, with 95% ends.

    Half a unit is added to each of the four cells (Haldane 1956), so that none is infinite; the
    interval is Woolf's (1955), on the logarithm.
    """
    cells = np.stack([counts, k - counts, sizes - counts, n - k - sizes + counts]) + 0.5
    log_ratio = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    half = _Z95 * np.sqrt((1 / cells).sum(axis=0))
    return np.exp(np.stack([log_ratio, log_ratio - half, log_ratio + half], axis=-1))
