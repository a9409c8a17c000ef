"""How well the size of each unit's score tells a label's rows from the rest: average precision.

AP = Σ_g (c_g - c_{g-1})/P · c_g/r_g over the groups g of equal scores, from the highest down: r_g
rows score at least as high, c_g of them have the label, P have it in all. Rows with equal scores
are one step, so the order of rows does not matter (scikit-learn's `average_precision_score`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int8
from torch import Tensor, from_numpy

from interp.neurons.ranking import Ranking, over_blocks, restrict
from interp.neurons.rows_of_functions import RowSet, checked_labels, row_sets

UNITS_AT_ONCE = 64


class AveragePrecision(NamedTuple):
    """Average precision of every unit for every function, from one ranking of its scores."""

    positive: Float64[Tensor, "functions units"]
    """A high score as a sign of the label: AP of (label, score). 0 to 1."""
    negative: Float64[Tensor, "functions units"]
    """A high score as a sign of its absence: AP of (not label, score), the score's sign kept."""
    harmonic: Float64[Tensor, "functions units"]
    """Σ over rows of 1/r, r the rows that score at least as high: the n-th harmonic number without
    ties, 1 where all scores are equal. What `expected_average_precision` asks of a unit."""


def average_precision(
    scores: Float[Tensor, "rows units"],
    labels: Int8[Tensor, "functions rows"] | Bool[Tensor, "functions rows"],
    *,
    units_at_once: int = UNITS_AT_ONCE,
) -> AveragePrecision:
    """Average precision of all units for all functions, both signs, exact with ties (2305.18390).

    A label is 1, 0, or -1 where the row is no part of the function. A unit's rows are sorted once
    for all functions and both signs: with N = n - P rows without the label,
    N · AP⁻ = N - Σ_g (r_g - r_{g-1}) c_g/r_g + P · AP⁺. Beyond its arguments and result it holds
    `units_at_once` columns of scores and some words a row for each of torch's threads.

    Raises BadInput for NaN among the scores, and for a function whose rows are all of one class.
    """
    label = checked_labels(labels)
    sets = row_sets(label)

    def of_block(block: Float[np.ndarray, "units rows"], ranking: Ranking) -> np.ndarray:
        found = np.empty((3, len(label), len(block)))
        for rows in sets:
            found[:, rows.functions] = _of_set(restrict(ranking, block, rows.part), rows)
        return found

    blocks = over_blocks(scores, of_block, units_at_once=units_at_once)
    return AveragePrecision(*from_numpy(np.concatenate(blocks, axis=2)))


def _of_set(ranked: Ranking, rows: RowSet) -> Float[np.ndarray, "3 members units"]:
    sums = np.empty((2, rows.lanes * len(rows.words), len(ranked.order)))
    weight, step = 1 / ranked.depth, ranked.size / ranked.depth
    hits, inside = np.empty_like(weight), np.empty_like(weight)
    for index, lane in enumerate(_running(ranked, rows)):
        hits[:] = lane
        np.subtract(hits[1:], hits[:-1], out=inside[1:])
        inside[ranked.first_group] = hits[ranked.first_group]
        inside *= hits
        inside *= weight
        hits *= step
        sums[:, index] = ranked.sum_over_groups(inside), ranked.sum_over_groups(hits)
    n_positive = rows.n_positive[:, None]
    n_negative = ranked.n_rows - n_positive
    found, against = sums[:, : len(n_positive)]
    harmonic = np.broadcast_to(ranked.sum_over_groups(step), found.shape)
    return np.stack([found / n_positive, (n_negative - against + found) / n_negative, harmonic])


def _running(ranked: Ranking, rows: RowSet) -> Iterator[Int[np.ndarray, " groups"]]:
    """For every function in turn, its rows with the label down to the end of each group.

    One running sum counts for all functions of a word: a lane is too wide to overflow.
    """
    lane = np.dtype(f"uint{64 // rows.lanes}")
    by_depth, at_ends = np.empty(ranked.order.shape, np.int64), np.empty_like(ranked.ends)
    for word in rows.words:
        # The indices are in range: any mode but "raise" lets take fill `out` without a copy.
        word.take(ranked.order, out=by_depth, mode="clip")
        np.cumsum(by_depth, axis=1, out=by_depth)
        by_depth.take(ranked.ends, out=at_ends, mode="clip")
        yield from at_ends.view(lane).reshape(-1, rows.lanes).T
