"""Cosines of gradients, and what they are averaged to: LESS's influence (arXiv 2402.04333, §4).

Inf(z, s) = max over sub-tasks b of  mean over v in V_b of  sum_i w_i cos(step_i(z), g_i(v))

A mean of cosines is a product with the mean of unit vectors, so a sub-task is held as a few means
of its validation examples' unit gradients, however many examples it has.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy import stats
from torch import Tensor


class Part(NamedTuple):
    """Validation examples that are averaged together: a fold of a sub-task, or a shuffle of it."""

    subtask: int
    shuffle: int | None
    """None for the answers as they are."""
    n: int


class Scores(NamedTuple):
    """What the cosines with every part give for every training example."""

    score: Float64[np.ndarray, " examples"]
    interval: Float64[np.ndarray, "examples 2"]
    by_subtask: Float64[np.ndarray, "examples subtasks"]
    halves: Float64[np.ndarray, "2 examples"]
    null: Float64[np.ndarray, "shuffles examples"]


def unit_vectors(vectors: Float32[Tensor, "rows dim"]) -> Float32[Tensor, "rows dim"]:
    """Every row over its norm; a row of zeros, which is no step at all, stays zero.

    Rows are scaled by their largest entry first: squares of entries below 1e-19 would vanish.
    """
    largest = vectors.abs().amax(dim=1, keepdim=True)
    scaled = vectors / largest.where(largest > 0, 1.0)
    norm = scaled.norm(dim=1, keepdim=True)
    return scaled / norm.where(norm > 0, 1.0)


def checkpoint_weights(rates: Sequence[float]) -> tuple[float, ...]:
    """Mean learning rates over their sum; equal weights if all are zero."""
    total = sum(rates)
    return tuple(rate / total if total > 0 else 1 / len(rates) for rate in rates)


def scores_of(cosines: Float[np.ndarray, "examples parts"], parts: Sequence[Part]) -> Scores:
    """Scores, intervals, halves and null from the weighted cosines with every part."""
    cosines = cosines.astype(np.float64)
    by_subtask = _by_subtask(cosines, parts, lambda part: part.shuffle is None)
    shuffles = sorted({part.shuffle for part in parts if part.shuffle is not None})
    null = [
        _by_subtask(cosines, parts, lambda part, s=s: part.shuffle == s).max(1) for s in shuffles
    ]
    return Scores(
        score=by_subtask.max(1),
        interval=_intervals(cosines, parts, by_subtask),
        by_subtask=by_subtask,
        halves=np.stack([_half(cosines, parts, which) for which in (0, 1)]),
        null=np.stack(null) if null else np.empty((0, len(cosines))),
    )


def _by_subtask(cosines: np.ndarray, parts: Sequence[Part], chosen) -> np.ndarray:
    """Mean over the validation examples of the chosen parts, a column a sub-task."""
    subtasks = sorted({part.subtask for part in parts})
    weight = np.zeros((len(parts), len(subtasks)))
    for index, part in enumerate(parts):
        if chosen(part):
            weight[index, part.subtask] = part.n
    with np.errstate(invalid="ignore"):
        return cosines @ (weight / weight.sum(0))


def _half(cosines: np.ndarray, parts: Sequence[Part], which: int) -> np.ndarray:
    """Every second fold of every sub-task; a sub-task of one fold has no halves."""
    seen: dict[int, int] = {}
    kept = []
    for part in parts:
        if part.shuffle is None:
            seen[part.subtask] = seen.get(part.subtask, -1) + 1
        kept.append(part.shuffle is None and seen[part.subtask] % 2 == which)
    if min(seen.values()) == 0:
        return np.full(len(cosines), np.nan)
    inside = iter(kept)
    return _by_subtask(cosines, parts, lambda _: next(inside)).max(1)


def _intervals(
    cosines: np.ndarray, parts: Sequence[Part], by_subtask: np.ndarray
) -> Float64[np.ndarray, "examples 2"]:
    best = by_subtask.argmax(1)
    interval = np.full((len(cosines), 2), np.nan)
    for subtask in range(by_subtask.shape[1]):
        columns = [
            i for i, part in enumerate(parts) if part.subtask == subtask and part.shuffle is None
        ]
        rows = best == subtask
        if len(columns) < 2 or not rows.any():
            continue
        folds = cosines[np.ix_(rows, columns)]
        spread = folds.std(axis=1, ddof=1) / np.sqrt(len(columns))
        half = stats.t.ppf(0.975, len(columns) - 1) * spread
        interval[rows] = by_subtask[rows, subtask, None] + np.stack([-half, half], axis=1)
    return interval
