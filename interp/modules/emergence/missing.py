"""Means, spreads and quantiles of what is there: NaN, without a warning, where nothing is."""

import numpy as np
from jaxtyping import Float, Float64


def mean_of(values: Float[np.ndarray, "..."], axis: int) -> Float64[np.ndarray, "..."]:
    """The mean along an axis of the values that are finite."""
    has = np.isfinite(values)
    n = has.sum(axis=axis)
    total = np.where(has, values, 0.0).sum(axis=axis)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)


def spread_of(
    values: Float[np.ndarray, "layers pairs draws"],
) -> Float64[np.ndarray, "layers pairs"]:
    deviation = values - mean_of(values, axis=2)[..., None]
    n = np.isfinite(values).sum(axis=2)
    squares = np.nansum(deviation**2, axis=2)
    spread = np.divide(squares, n - 1, out=np.full(squares.shape, np.nan), where=n > 1)
    return np.sqrt(spread)


def interval_of(
    drawn: Float[np.ndarray, "layers pairs draws"],
) -> tuple[Float64[np.ndarray, "layers pairs"], Float64[np.ndarray, "layers pairs"]]:
    """The 2.5% and 97.5% quantiles over draws; NaN where a draw is lacking."""
    lacking = ~np.isfinite(drawn).all(axis=2)
    low, high = np.quantile(np.nan_to_num(drawn), [0.025, 0.975], axis=2)
    return np.where(lacking, np.nan, low), np.where(lacking, np.nan, high)
