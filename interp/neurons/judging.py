"""Judging: the scores of some units for all functions, and of the same units on shuffled labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int8
from torch import Tensor

from interp.neurons.average_precision import average_precision
from interp.neurons.functions import Function, LabelledFunctions
from interp.neurons.nulls import chance_of, expected_average_precision
from interp.neurons.pooled_null import PooledNull
from interp.neurons.questions import generator_of


class JudgedUnits(NamedTuple):
    """What some units score; `joined` puts those of all units side by side."""

    ap_positive: Float64[np.ndarray, "functions units"]
    ap_negative: Float64[np.ndarray, "functions units"]
    score: Float64[np.ndarray, "functions units"]
    sign: Int8[np.ndarray, "functions units"]
    z: Float64[np.ndarray, "functions units"]
    """Of the better sign, in standard deviations above its exact mean by chance; NaN if dead."""
    harmonic: Float64[np.ndarray, "functions units"]
    """How far a unit's scores are from all tied (`Chance.harmonic`)."""
    null_best: Float64[np.ndarray, "functions permutations"]
    """The best of these units on every permutation; minus infinity where all are dead."""
    dead: Bool[np.ndarray, " units"]


def judge_units(
    values: Float[Tensor, "rows units"],
    functions: LabelledFunctions,
    *,
    normalise: bool,
    n_permutations: int,
    seed: int,
    pool: PooledNull,
) -> JudgedUnits:
    """Average precision of both signs, the score, and the same on `n_permutations` shuffles.

    score = max(AP⁺, AP⁻) (arXiv 2305.18390), or the larger of the two (AP − E0)/(1 − E0) where
    `normalise`. Labels are shuffled among the rows of each function, the same for every unit; what
    that gives is counted in `pool`.
    """
    parts = []
    for i, (function, labels) in enumerate(zip(functions.functions, functions.labels, strict=True)):
        inside = torch.from_numpy(np.flatnonzero(labels >= 0))
        rng = generator_of(seed, function.name, "permutations")
        shuffled = permuted(labels[labels >= 0], n_permutations, rng)
        found = _judge(values[inside], torch.from_numpy(shuffled), function, normalise)
        pool.update(i, found.z[1:], found.harmonic)
        parts.append(found)
    live = (values != values[:1]).any(dim=0).numpy()
    score = np.stack([part.score for part in parts])
    null = score[:, 1:]
    return JudgedUnits(
        ap_positive=np.stack([part.positive[0] for part in parts]),
        ap_negative=np.stack([part.negative[0] for part in parts]),
        score=score[:, 0],
        sign=np.stack([part.sign for part in parts]),
        z=np.stack([part.z[0] for part in parts]),
        harmonic=np.stack([part.harmonic for part in parts]),
        null_best=np.max(null, axis=2, where=live, initial=-np.inf),
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


def permuted(
    labels: Int8[np.ndarray, " rows"], n: int, rng: np.random.Generator
) -> Int8[np.ndarray, "draws rows"]:
    """The labels as they are, and then `n` shuffles of them."""
    shuffles = rng.permuted(np.broadcast_to(labels, (n, len(labels))), axis=1)
    return np.concatenate([labels[None], shuffles])


class _Judged(NamedTuple):
    positive: Float64[np.ndarray, "draws units"]
    negative: Float64[np.ndarray, "draws units"]
    score: Float64[np.ndarray, "draws units"]
    sign: Int8[np.ndarray, " units"]
    z: Float64[np.ndarray, "draws units"]
    harmonic: Float64[np.ndarray, " units"]


def _judge(
    values: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "draws rows"],
    function: Function,
    normalise: bool,
) -> _Judged:
    """The labels as they are in the first line, and shuffled in the others."""
    found, chance = average_precision(values, labels), chance_of(values, labels[:1])
    positive, negative = found.positive.numpy(), found.negative.numpy()
    up, down = positive, negative
    if normalise:
        up = _above_chance(positive, function.n, function.n_positive)
        down = _above_chance(negative, function.n, function.n_negative)
    sign = np.where(up[0] >= down[0], 1, -1).astype(np.int8)
    z = chance.standardised(positive, negative)
    return _Judged(positive, negative, np.maximum(up, down), sign, z, chance.harmonic[0])


def _above_chance(
    ap: Float64[np.ndarray, "draws units"], n: int, n_positive: int
) -> Float64[np.ndarray, "draws units"]:
    expected = expected_average_precision(n, n_positive)
    return (ap - expected) / (1 - expected)
