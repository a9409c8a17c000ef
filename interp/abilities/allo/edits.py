"""The smallest edit from a prediction to its rewrite, step by step, and weights for its tokens.

RLMEC (2401.06081) imitates a rewrite with more weight where it differs from the prediction. The
rewrite is a minimal correction, so what differs is what was wrong.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int32

Kind = Literal["match", "delete", "insert", "substitute"]
CHANGED, KEPT = 1.0, 0.5
"""Weights of RLMEC's imitation: rewrite tokens at a mismatching step, and all others."""


class Step(NamedTuple):
    """One step of an alignment; the indices are those of the tokens it ends at."""

    kind: Kind
    prediction: int
    """Of the last prediction token used up; a step of insertion uses up none."""
    rewrite: int
    """Of the last rewrite token used up; a step of deletion uses up none."""


def edit_distance(prediction: Sequence[int], rewrite: Sequence[int]) -> int:
    """Fewest deletions, insertions and substitutions of one token that lead to the rewrite."""
    return int(_distances(prediction, rewrite)[-1, -1])


def edit_steps(prediction: Sequence[int], rewrite: Sequence[int]) -> list[Step]:
    """The alignment in reading order, from where neither text is used up going backwards.

    Of the cheapest ways the first in the order match, delete, insert, substitute is taken (a
    later one only if strictly cheaper). As in RLMEC, the trace stops as soon as either text is at
    its start: what is left of the other, a leading insertion or deletion, is in no step.
    """
    distances = _distances(prediction, rewrite)
    steps = []
    i, j = len(prediction), len(rewrite)
    while i > 0 and j > 0:
        kind = _kind(distances, i, j, same=prediction[i - 1] == rewrite[j - 1])
        steps.append(Step(kind, i - 1, j - 1))
        i -= kind != "insert"
        j -= kind != "delete"
    return steps[::-1]


def edit_weights(prediction: Sequence[int], rewrite: Sequence[int]) -> list[float]:
    """One weight a token of the rewrite: 1 where a step inserts or substitutes it, .5 elsewhere.

    A deletion leaves nothing in the rewrite to weigh.
    """
    weights = [KEPT] * len(rewrite)
    for step in edit_steps(prediction, rewrite):
        if step.kind in ("insert", "substitute"):
            weights[step.rewrite] = CHANGED
    return weights


def _kind(distances: Int32[np.ndarray, "i j"], i: int, j: int, *, same: bool) -> Kind:
    if same:
        return "match"
    ways: list[tuple[Kind, int]] = [
        ("delete", distances[i - 1, j]),
        ("insert", distances[i, j - 1]),
        ("substitute", distances[i - 1, j - 1]),
    ]
    return min(ways, key=lambda way: way[1])[0]  # the first of the cheapest


def _distances(prediction: Sequence[int], rewrite: Sequence[int]) -> Int32[np.ndarray, "i j"]:
    """Edit distance between every prefix of the one and every prefix of the other.

    A row follows from the one above without a loop: d[j] = min over k <= j of (a[k] + j - k),
    with a the best way that ends in no insertion.
    """
    column = np.arange(len(rewrite) + 1, dtype=np.int32)
    distances = np.empty((len(prediction) + 1, len(column)), dtype=np.int32)
    distances[0] = column
    target = np.asarray(rewrite, dtype=np.int64)
    for i, token in enumerate(prediction, start=1):
        above = distances[i - 1]
        best = above + 1
        best[1:] = np.minimum(best[1:], above[:-1] + (target != token))
        distances[i] = np.minimum.accumulate(best - column) + column
    return distances
