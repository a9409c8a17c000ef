"""Significance of head scores: each head against draws of its null, then against the best of all.

Westfall and Young's (1993) single-step max-T: a draw's largest z over all heads and columns is what
a head must beat. The draws are the same for every head, so their dependence stays in it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from interp.results.significance import benjamini_hochberg

_AT_ONCE = 4_000_000
_SLACK = 1e-9
_FLAT = 1e-6
_ROUNDING = 1e-7
"""Nothing that float32 computes is measured finer than this."""
_NEAR = 0.04
"""A smallest p of so much is said: little but the very best draw is below .05 then."""


class Significance(NamedTuple):
    """What the null says of every head in every column; NaN where a value is missing."""

    null_mean: Float[np.ndarray, "layers heads columns"]
    null_sd: Float[np.ndarray, "layers heads columns"]
    z: Float[np.ndarray, "layers heads columns"]
    p: Float[np.ndarray, "layers heads columns"]
    p_adj: Float[np.ndarray, "layers heads columns"]
    q: Float[np.ndarray, "layers heads columns"]


def significance(
    observed: Float[np.ndarray, "layers heads columns"],
    draws: Float[np.ndarray, "draws layers heads columns"],
) -> Significance:
    """One family: all heads and columns given. `draws[b]` is one draw for all of them at once.

    z is standardised over the draws and the observed value together, so that it is as if the true
    labels were one more draw, and a head whose draws are all alike is not divided by zero; mean and
    standard deviation are reported over the draws alone. A head that does not vary beyond rounding
    has z = 0 and p = 1. `p` >= 1 / (1 + draws).
    """
    n = len(draws)
    mean, sd = standardisation(observed, draws)
    z, z_null = (observed - mean) / sd, (draws - mean) / sd
    tested = ~np.isnan(z)
    largest = np.where(tested, z_null, -np.inf).reshape(n, -1).max(axis=1, initial=-np.inf)
    p = (1 + (z_null >= z - _SLACK).sum(axis=0)) / (1 + n)
    # One sort, then a search for each head: draws x heads would be compared twice over otherwise.
    beaten = np.searchsorted(np.sort(largest), z.ravel() - _SLACK, side="left").reshape(z.shape)
    p_adj = (1 + n - beaten) / (1 + n)
    z, p, p_adj = (np.where(tested, values, np.nan) for values in (z, p, p_adj))
    null_mean, null_sd = draws.mean(axis=0), draws.std(axis=0)
    return Significance(null_mean, null_sd, z, p, p_adj, false_discovery(p))


def standardisation(
    observed: Float[np.ndarray, "layers heads columns"],
    draws: Float[np.ndarray, "draws layers heads columns"],
) -> tuple[Float[np.ndarray, "layers heads columns"], Float[np.ndarray, "layers heads columns"]]:
    """Mean and standard deviation that make a z: over the draws and the observed value together.

    z is then at most sqrt(draws). The deviation of a head that does not vary beyond rounding is
    infinite, so that its z is 0; both are NaN where the observed value or a draw is.
    """
    n = len(draws)
    mean = (draws.sum(axis=0) + observed) / (n + 1)
    square = (((draws - mean) ** 2).sum(axis=0) + (observed - mean) ** 2) / (n + 1)
    sd = np.sqrt(square)
    flat = sd <= _FLAT * np.abs(mean) + _ROUNDING
    return mean, np.where(flat, np.inf, sd)


def adjusted_by_size(
    observed: Float[np.ndarray, "layers heads columns"],
    draws: Float[np.ndarray, "draws layers heads columns"],
) -> Float[np.ndarray, "layers heads columns"]:
    """Family-wise p by the largest excess of each draw over its head's mean, not by the largest z.

    For few draws: a z is at most sqrt(draws), so the best of many heads is as far out by chance in
    nearly every draw, and no head could stand out. All units must be the same. Small effects of
    heads that vary little are found less. A head within rounding of its mean has p = 1.
    """
    mean = (draws.sum(axis=0) + observed) / (len(draws) + 1)
    tested = ~np.isnan(mean)
    excess = observed - mean
    largest = np.where(tested, draws - mean, -np.inf).reshape(len(draws), -1).max(axis=1)
    at_least = largest[:, None] >= excess.ravel() - _SLACK
    p = (1 + at_least.sum(axis=0).reshape(excess.shape)) / (1 + len(draws))
    return np.where(tested, np.where(excess > _ROUNDING, p, 1.0), np.nan)


def smallest_p(n_draws: int, *, more: str = "more draws") -> dict[str, str]:
    """A note where so few draws keep every p at or near .05, with what would give `more`; else {}.

    Where it says that nothing can be significant, the test could not have succeeded whatever the
    model does.
    """
    least = 1 / (1 + n_draws)
    if least < _NEAR:
        return {}
    means = "nothing can be significant at .05" if least >= 0.05 else "close to .05"
    return {
        "smallest_p": f"{n_draws} draws of the null: no p is below {least:.3g}, {means}; "
        f"{more} would lower it"
    }


def false_discovery(
    p: Float[np.ndarray, "layers heads columns"],
) -> Float[np.ndarray, "layers heads columns"]:
    """`p` adjusted for the false discovery rate, over all that were tested."""
    q = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = benjamini_hochberg(p[known])
    return q


def relabelled_means(
    values: Float[np.ndarray, "sequences labels units"],
    *,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draws units"]:
    """Means over sequences with one label a sequence drawn anew, the same for all units.

    `values[:, 0]` are the true labels, which are among those drawn, so that p is exact where true
    and control labels are exchangeable.
    """
    n, n_labels, n_units = values.shape
    flat = values.reshape(n * n_labels, n_units)
    out = np.empty((draws, n_units))
    block = max(1, _AT_ONCE // max(n * n_labels, 1))
    for start in range(0, draws, block):
        stop = min(start + block, draws)
        chosen = rng.integers(0, n_labels, size=(stop - start, n)) + np.arange(n) * n_labels
        counts = np.zeros((stop - start, n * n_labels))
        np.put_along_axis(counts, chosen, 1.0, axis=1)
        out[start:stop] = counts @ flat / n
    return out


def sequence_bootstrap(
    values: Float[np.ndarray, "sequences units"],
    *,
    draws: int,
    rng: np.random.Generator,
    weights: Float[np.ndarray, "sequences units"] | None = None,
) -> Float[np.ndarray, "2 units"]:
    """Ends of the 95% percentile bootstrap over sequences of each unit's mean.

    With `weights` the mean is sum(values) / sum(weights): sums and counts of a sequence. NaN where
    there are fewer than two sequences.
    """
    n, n_units = values.shape
    if n < 2:
        return np.full((2, n_units), np.nan)
    means = np.empty((draws, n_units))
    block = max(1, _AT_ONCE // n)
    for start in range(0, draws, block):
        stop = min(start + block, draws)
        counts: Int[np.ndarray, "block n"] = rng.multinomial(n, np.full(n, 1 / n), stop - start)
        total = counts @ values
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start:stop] = total / (n if weights is None else counts @ weights)
    if not np.isnan(means).any():
        return np.quantile(means, [0.025, 0.975], axis=0)
    return np.stack([_quantile(means, 0.025), _quantile(means, 0.975)])


def _quantile(means: Float[np.ndarray, "draws units"], at: float) -> Float[np.ndarray, " units"]:
    known = ~np.isnan(means).all(axis=0)
    out = np.full(means.shape[1], np.nan)
    out[known] = np.nanquantile(means[:, known], at, axis=0)
    return out
