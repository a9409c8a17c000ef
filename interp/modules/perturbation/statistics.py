"""What a drop matrix says: own against other functions, intervals over items, relabelled rows."""

from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_ALL_RELABELLINGS_TO = 7
_RELABELLINGS = 9_999


class Relabelled(NamedTuple):
    """How often rows that are given to other functions look as much like a diagonal."""

    p: float
    """One-sided; NaN for fewer than two functions."""
    min_p: float
    """The smallest that can come out: 1 / n for all relabellings, of which one is as it is."""
    n: int
    """Relabellings looked at."""


def mean_by_function(
    values: Float[np.ndarray, "sets items"], function: Int[np.ndarray, " items"], n_functions: int
) -> Float[np.ndarray, "sets functions"]:
    """Mean over the items of each function; NaN where an item is NaN."""
    return np.stack([values[:, function == f].mean(axis=1) for f in range(n_functions)], axis=1)


def bootstrap_means(
    values: Float[np.ndarray, "sets items"],
    function: Int[np.ndarray, " items"],
    n_functions: int,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draws sets functions"]:
    """`mean_by_function` of items drawn anew within each function.

    All sets see the same draw: they were measured on the same items, and are compared.
    """
    found = np.empty((draws, len(values), n_functions))
    for f in range(n_functions):
        own = values[:, function == f]
        n = own.shape[1]
        times = rng.multinomial(n, np.full(n, 1 / n), size=draws)
        found[:, :, f] = times @ own.T / n
    return found


def own_minus_other(
    drop: Float[np.ndarray, "*draws functions functions"],
) -> Float[np.ndarray, "*draws"]:
    """Mean of the diagonal less mean of the rest; NaN for fewer than two functions."""
    n = drop.shape[-1]
    diagonal = np.trace(drop, axis1=-2, axis2=-1)
    if n < 2:
        return np.full(diagonal.shape, np.nan)
    rest = drop.sum(axis=(-2, -1)) - diagonal
    return np.asarray(diagonal / n - rest / (n * (n - 1)))


def own_minus_other_each(
    drop: Float[np.ndarray, "*draws functions functions"],
) -> Float[np.ndarray, "*draws functions"]:
    """What each function's row costs itself less what it costs the others on average."""
    n = drop.shape[-1]
    diagonal = np.diagonal(drop, axis1=-2, axis2=-1)
    if n < 2:
        return np.full(diagonal.shape, np.nan)
    return diagonal - (drop.sum(axis=-1) - diagonal) / (n - 1)


def relabelled_rows(
    drop: Float[np.ndarray, "functions functions"], *, rng: np.random.Generator
) -> Relabelled:
    """p of `own_minus_other` where the rows belong to the functions in any other order.

    All orders up to 7 functions, each as likely under the null that it does not matter whose
    neurons were disturbed; 9999 random ones for more, with 1 added to both counts. The mean over
    the whole matrix does not change with the order, so the diagonal alone decides.
    """
    n = len(drop)
    if n < 2 or np.isnan(drop).any():
        return Relabelled(float("nan"), float("nan"), 0)
    # The same numbers summed in another order may round differently.
    least = np.trace(drop) - 1e-12 * np.abs(drop).sum()
    columns = np.arange(n)
    if n <= _ALL_RELABELLINGS_TO:
        orders = np.array(list(permutations(range(n))))
        total = factorial(n)
        as_high = (drop[orders, columns].sum(axis=1) >= least).sum()
        return Relabelled(float(as_high / total), 1 / total, total)
    orders = rng.permuted(np.tile(columns, (_RELABELLINGS, 1)), axis=1)
    as_high = (drop[orders, columns].sum(axis=1) >= least).sum()
    smallest = 1 / (1 + _RELABELLINGS)
    return Relabelled(float((1 + as_high) * smallest), smallest, _RELABELLINGS)


def with_ends(
    value: Float[np.ndarray, "*any"], draws: Float[np.ndarray, "_ ..."]
) -> Float[np.ndarray, "*any 3"]:
    """Each value with the 95% percentile interval of its bootstrap draws."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return np.stack([value, low, high], axis=-1)
