"""Judging: the scores of some units for all functions, and of the same units by chance."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int8
from torch import Tensor

from interp.neurons.functions import Function, LabelledFunctions
from interp.neurons.measures.accuracy import accuracy, halves
from interp.neurons.measures.information import information
from interp.neurons.measures.measured import Measured, Measuring, by_own_draws
from interp.neurons.measures.precision import normalised_precision, precision
from interp.neurons.measures.selectivity import selectivity
from interp.neurons.pooled_null import PooledNull
from interp.neurons.questions import generator_of
from interp.neurons.relabelling import relabelled
from interp.neurons.scores import Measure
from interp.neurons.skill import thresholds

MEASURES: dict[Measure, Measuring] = {
    "average precision": precision,
    "normalised average precision": normalised_precision,
    "held-out accuracy": accuracy,
    "mutual information": information,
    "selectivity": selectivity,
}
_EXACT: tuple[Measure, ...] = ("average precision", "normalised average precision")
"""Measures whose mean and spread under chance are known; others are set by their own draws."""


class JudgedUnits(NamedTuple):
    """What some units score; `joined` puts those of all units side by side."""

    ap_positive: Float64[np.ndarray, "functions units"]
    ap_negative: Float64[np.ndarray, "functions units"]
    score: Float64[np.ndarray, "functions units"]
    sign: Int8[np.ndarray, "functions units"]
    z: Float64[np.ndarray, "functions units"]
    """The score on a scale that units share (`Measured.z`); NaN if dead."""
    harmonic: Float64[np.ndarray, "functions units"]
    """How far a unit's values are from all tied (`Chance.harmonic`)."""
    null_sum: Float64[np.ndarray, "functions units"]
    """The scores of all permutations together."""
    null_best: Float64[np.ndarray, "functions permutations"]
    """The best of these units on every permutation; minus infinity where all are dead."""
    dead: Bool[np.ndarray, " units"]


def judge_units(
    values: Float[Tensor, "rows units"],
    functions: LabelledFunctions,
    *,
    measure: Measure,
    n_permutations: int,
    seed: int,
    pool: PooledNull,
) -> JudgedUnits:
    """The measure of every unit, and the same on `n_permutations` relabellings of the rows.

    What changes places is what each function says (`Function.exchanged`), the same for every unit;
    what that gives is counted in `pool`.
    """
    parts = []
    for i, (function, labels) in enumerate(zip(functions.functions, functions.labels, strict=True)):
        rows = _Rows.of(values, functions, labels)
        found = _judged(rows, function, measure, n_permutations, seed)
        pool.update(i, found.z[1:], found.harmonic)
        parts.append(found)
    live = (values != values[:1]).any(dim=0).numpy()
    score = np.stack([part.score for part in parts])
    return JudgedUnits(
        ap_positive=np.stack([part.positive for part in parts]),
        ap_negative=np.stack([part.negative for part in parts]),
        score=score[:, 0],
        sign=np.stack([part.sign for part in parts]),
        z=np.stack([part.z[0] for part in parts]),
        harmonic=np.stack([part.harmonic for part in parts]),
        null_sum=score[:, 1:].sum(axis=1),
        null_best=np.max(score[:, 1:], axis=2, where=live, initial=-np.inf),
        dead=~live,
    )


def joined(parts: Sequence[JudgedUnits]) -> JudgedUnits:
    """The units of all parts side by side, and the best over all of them on every permutation."""
    side_by_side = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
        for name in JudgedUnits._fields
        if name != "null_best"
    }
    best = np.max([part.null_best for part in parts], axis=0)
    return JudgedUnits(**side_by_side, null_best=best)


class _Rows(NamedTuple):
    """The rows of one function."""

    values: Float[Tensor, "rows units"]
    labels: Int8[np.ndarray, " rows"]
    documents: np.ndarray

    @classmethod
    def of(
        cls, values: Tensor, functions: LabelledFunctions, labels: Int8[np.ndarray, " rows"]
    ) -> "_Rows":
        inside = np.flatnonzero(labels >= 0)
        return cls(values, labels, functions.document).at(inside)

    def at(self, rows: np.ndarray) -> "_Rows":
        return _Rows(self.values[torch.from_numpy(rows)], self.labels[rows], self.documents[rows])


def _judged(rows: _Rows, function: Function, measure: Measure, n: int, seed: int) -> Measured:
    sign = None
    if measure == "held-out accuracy":
        rows, sign = _answers(rows, function, seed)
    rng = generator_of(seed, function.name, "permutations")
    drawn = relabelled(rows.labels, rows.documents, function.exchanged, n, rng)
    found = MEASURES[measure](rows.values, torch.from_numpy(drawn))
    if function.exchanged != "rows" and measure in _EXACT:
        # Its exact spread is that of single rows, and a unit of long runs has a wider one.
        found = found._replace(z=by_own_draws(found.z))
    return found if sign is None else found._replace(sign=sign)


def _answers(
    rows: _Rows, function: Function, seed: int
) -> tuple[_Rows, Int8[np.ndarray, " units"]]:
    """The held-out half of the rows with what each unit says in place of its values."""
    rng = generator_of(seed, function.name, "halves")
    training, held_out = (
        rows.at(half)
        for half in halves(rows.labels, rows.documents, function.exchanged, rng, name=function.name)
    )
    learnt = thresholds(training.values, training.labels)
    answers = learnt.says(held_out.values).float()
    return held_out._replace(values=answers), learnt.sign.numpy()
