"""How near x̂ is to x, row by row, and the measures that sums of these make."""

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.results.sequence_sums import ROWS, Totals

_NO_LENGTH = 1e-4
"""A row shorter than this counts as of length 1 in the l2 ratio, as in sae-lens."""


def row_statistics(
    target: Float[Tensor, "rows d_out"],
    output: Float[Tensor, "rows d_out"],
    codes: Float[Tensor, "rows d_sae"],
    centre: Float[Tensor, " d_out"],
) -> dict[str, Float[np.ndarray, " rows"]]:
    """By name, what is summed over rows: errors, lengths, angles and sparsity, in float64.

    `centre` is the mean of the evaluated rows: the variance is about it.
    """
    x, x_hat = target.double(), output.double()
    squared, squared_hat = x.square().sum(-1), x_hat.square().sum(-1)
    dot = (x * x_hat).sum(-1)
    length, length_hat = squared.sqrt(), squared_hat.sqrt()
    product = length * length_hat
    statistics = {
        "residual": (x - x_hat).square().sum(-1),
        "variance": (x - centre.double()).square().sum(-1),
        "squared": squared,
        "squared_hat": squared_hat,
        "dot": dot,
        # A zero vector has no direction: it counts as at right angles.
        "cosine": dot / product.masked_fill(product == 0, 1),
        "ratio": length_hat / length.masked_fill(length < _NO_LENGTH, 1),
        "l0": (codes != 0).sum(-1).double(),
        "l1": codes.abs().sum(-1).double(),
    }
    return {name: values.cpu().numpy() for name, values in statistics.items()}


def reconstruction_measures(totals: Totals) -> dict[str, Float[np.ndarray, " draws"]]:
    """The measures of MEASURES that sums of `row_statistics` give."""
    n = totals[ROWS]
    return {
        "explained_variance": 1 - totals["residual"] / totals["variance"],
        "normalised_mse": totals["residual"] / totals["squared"],
        "mse": totals["residual"] / n,
        "cosine": totals["cosine"] / n,
        "l0": totals["l0"] / n,
        "l1": totals["l1"] / n,
        "l2_ratio": totals["ratio"] / n,
        "relative_reconstruction_bias": totals["squared_hat"] / totals["dot"],
    }
