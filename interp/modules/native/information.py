"""Entropy and mutual information of counts, in bits, with the correction for few samples."""

import numpy as np
from jaxtyping import Float, Float64, Int, Num


def entropy_bits(
    counts: Num[np.ndarray, "*batch outcomes"],
) -> Float64[np.ndarray, "*batch"]:
    """Plug-in entropy -sum p log2 p of the last axis; 0 at one outcome, log2 n at uniform.

    NaN where there is no count at all.
    """
    total = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    p = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    terms = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1.0)), np.where(np.isnan(p), p, 0.0))
    return np.asarray(0.0 - terms.sum(axis=-1))


def mutual_information(
    table: Int[np.ndarray, "*batch rows columns"],
) -> Float64[np.ndarray, "*batch"]:
    """Mutual information of rows and columns in bits, by Miller and Madow's correction (1955).

    H(rows) + H(columns) - H(both), each with (outcomes seen - 1) / (2 n ln 2) added. About 0 for
    independent rows and columns, where the plug-in estimate is above 0; may come out below 0.
    """
    n = table.sum(axis=(-2, -1), dtype=np.float64)
    both = table.reshape(*table.shape[:-2], -1)
    rows, columns = table.sum(-1), table.sum(-2)
    plug_in = entropy_bits(rows) + entropy_bits(columns) - entropy_bits(both)
    seen = [np.count_nonzero(part, axis=-1) - 1 for part in (rows, columns, both)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(plug_in + (seen[0] + seen[1] - seen[2]) / (2 * n * np.log(2)))


def exceedance(
    observed: Float[np.ndarray, "..."], null: Float[np.ndarray, "draws ..."]
) -> Float64[np.ndarray, "..."]:
    """One-sided p: (1 + draws at least as large) / (1 + draws); NaN where nothing was observed."""
    # A draw that equals what was seen up to rounding counts as equal.
    slack = 1e-12 * np.maximum(1.0, np.abs(observed))
    p = (1.0 + (null >= observed - slack).sum(axis=0)) / (1.0 + len(null))
    return np.asarray(np.where(np.isnan(observed), np.nan, p))
