"""Measured: what some units score on the labels as they are and on each of their relabellings."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int8
from torch import Tensor

from interp.neurons.nulls import chance_of

_STILL = 1e-12


class Measured(NamedTuple):
    """One function's answer; the first line is of the labels as they are."""

    score: Float64[np.ndarray, "draws units"]
    sign: Int8[np.ndarray, " units"]
    """1 where the unit is higher with the label, else -1."""
    z: Float64[np.ndarray, "draws units"]
    """The score on a scale that units share; NaN where a unit cannot be tested."""
    harmonic: Float64[np.ndarray, " units"]
    """How far a unit's values are from all tied (`Chance.harmonic`): units alike share a null."""
    positive: Float64[np.ndarray, " units"]
    """Average precision of the label; NaN where something else is measured."""
    negative: Float64[np.ndarray, " units"]
    """Of its absence."""


Measuring = Callable[[Float[Tensor, "rows units"], Int8[Tensor, "draws rows"]], Measured]


def measured(
    score: Float64[np.ndarray, "draws units"],
    sign: Int8[np.ndarray, " units"],
    values: Float[Tensor, "rows units"],
    drawn: Int8[Tensor, "draws rows"],
) -> Measured:
    """A score that is not average precision, on the scale of its own relabellings."""
    none = np.full(score.shape[1], np.nan)
    harmonic = chance_of(values, drawn[:1]).harmonic[0]
    return Measured(score, sign, by_own_draws(score), harmonic, none, none)


def by_own_draws(score: Float64[np.ndarray, "draws units"]) -> Float64[np.ndarray, "draws units"]:
    """Every unit's scores in standard deviations from their mean over the relabellings.

    A relabelling is left out of its own mean and deviation as the labels as they are always are:
    all are on one scale, and a unit with a strong score does not lend others a narrower null.
    Units that move by runs and by single tokens can then be compared. NaN where a unit's
    relabellings are all alike.
    """
    n = len(score) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = score[1:].sum(axis=0) / n
        apart = score - mean
        square = np.square(apart[1:]).sum(axis=0)
        spread = np.sqrt(square / n)
        others = (square - np.square(apart[1:]) * n / (n - 1)) / (n - 1)
        null = apart[1:] * n / (n - 1) / np.sqrt(np.maximum(others, 0))
        z = np.concatenate([apart[:1] / spread, null])
    return np.where(spread > _STILL, z, np.nan)


def direction(
    values: Float[Tensor, "rows units"], labels: Int8[Tensor, " rows"]
) -> Int8[np.ndarray, " units"]:
    """1 where the mean over rows with the label is at least that of the others, else -1."""
    label = labels == 1
    higher = values[label].double().mean(dim=0) >= values[~label].double().mean(dim=0)
    return torch.where(higher, 1, -1).to(torch.int8).numpy()
