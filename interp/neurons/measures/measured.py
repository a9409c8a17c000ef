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
    """Every unit's scores in standard deviations from their mean over all draws.

    The labels as they are count as one of the draws: by chance all are alike, so that no draw must
    be set apart. Units that move by runs and by single tokens are then on one scale.
    """
    spread = score.std(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (score - score.mean(axis=0)) / spread
    return np.where(spread > _STILL, z, np.nan)


def direction(
    values: Float[Tensor, "rows units"], labels: Int8[Tensor, " rows"]
) -> Int8[np.ndarray, " units"]:
    """1 where the mean over rows with the label is at least that of the others, else -1."""
    label = labels == 1
    higher = values[label].double().mean(dim=0) >= values[~label].double().mean(dim=0)
    return torch.where(higher, 1, -1).to(torch.int8).numpy()
