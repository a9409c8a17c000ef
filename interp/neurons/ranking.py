"""The rows of every unit from its highest score down, with the groups of equal scores marked."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.results.errors import BadInput

_BLOCK = 1 << 16
T = TypeVar("T")


class Ranking(NamedTuple):
    """Rows sorted by falling score, unit by unit, and the groups of equal scores.

    Groups lie flat, those of the second unit after those of the first.
    """

    order: Int[np.ndarray, "units rows"]
    """Row numbers, highest score first; the order inside a group is arbitrary."""
    ends: Int[np.ndarray, " groups"]
    """Place of each group's last row in `order` laid out flat."""
    first_group: Int[np.ndarray, " units"]
    size: Float[np.ndarray, " groups"]
    """Rows that share the group's score."""
    depth: Float[np.ndarray, " groups"]
    """Rows of the unit that score at least as high."""

    @property
    def n_rows(self) -> int:
        """How many rows each unit ranks."""
        return self.order.shape[1]

    def sum_over_groups(self, values: Float[np.ndarray, " groups"]) -> Float[np.ndarray, " units"]:
        """Each unit's sum."""
        return np.add.reduceat(values, self.first_group)


def over_blocks(
    scores: Float[Tensor, "rows units"],
    of_block: Callable[[Float[np.ndarray, "units rows"], Ranking], T],
    *,
    units_at_once: int,
) -> list[T]:
    """What `of_block` gives for every block of units and its ranking, in the order of units.

    Blocks are about as large as a core's cache and are shared among torch's threads. Raises
    BadInput for NaN.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return [
            found
            for chunk in scores.split(max(1, units_at_once), dim=1)
            for found in pool.map(lambda block: of_block(block, rank_rows(block)), _blocks(chunk))
        ]


def _blocks(chunk: Tensor) -> Iterator[Float[np.ndarray, "units rows"]]:
    kept = chunk if chunk.dtype == torch.float64 else chunk.float()
    by_unit = kept.detach().cpu().t().contiguous().numpy()
    if np.isnan(by_unit).any():
        raise BadInput("a score is NaN: drop the rows without an activation, or label them -1")
    step = max(1, _BLOCK // max(1, by_unit.shape[1]))
    for start in range(0, len(by_unit), step):
        yield by_unit[start : start + step]


def rank_rows(scores: Float[np.ndarray, "units rows"]) -> Ranking:
    """Rows of every unit by falling score; 0 and -0 are equal, and no score may be NaN.

    Up to float32 the score, as an integer that sorts alike, and the row number share one 64-bit
    word: sorting integers is several times faster than sorting indices by float.
    """
    if scores.dtype == np.float64:
        order = np.argsort(0.0 - scores, axis=1)
        return _marked(order, np.take_along_axis(scores, order, axis=1))
    words = _words(scores, np.arange(scores.shape[1]))
    if len(scores) == 1:
        words = _sorted_around_zeros(words[0])[None]
    else:
        words.sort(axis=1)
    return _marked(words & 0xFFFFFFFF, words >> 32)


def _words(
    scores: Float[np.ndarray, "units rows"], row: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, "units rows"]:
    bits = (np.float32(0) - scores).view(np.int32)
    keys = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return (keys.astype(np.int64) << 32) | row


def _sorted_around_zeros(words: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The words in order; scores of exactly zero, often many, are not sorted among themselves."""
    is_zero = (words >> 32) == 0
    others = words.take(np.flatnonzero(~is_zero))
    others.sort()
    n_above = np.searchsorted(others, 0)
    zeros = words.take(np.flatnonzero(is_zero))
    return np.concatenate([others[:n_above], zeros, others[n_above:]])


def restrict(
    ranking: Ranking, scores: Float[np.ndarray, "units rows"], part: Bool[np.ndarray, " rows"]
) -> Ranking:
    """The ranking of the rows in `part` alone, read off the ranking of all rows without a sort.

    Row numbers stay those of all rows.
    """
    if part.all():
        return ranking
    order = ranking.order[part[ranking.order]].reshape(len(scores), -1)
    return _marked(order, np.take_along_axis(scores, order, axis=1))


def _marked(order: Int[np.ndarray, "units rows"], values: np.ndarray) -> Ranking:
    """The ranking of an order whose scores, in that order, are `values`."""
    last = np.ones(order.shape, bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=last[:, :-1])
    ends = np.flatnonzero(last)
    n_groups = np.count_nonzero(last, axis=1)
    size = np.diff(ends, prepend=-1)
    start_of_unit = np.repeat(np.arange(len(order)) * order.shape[1], n_groups)
    depth = (ends - start_of_unit + 1).astype(np.float64)
    return Ranking(order, ends, np.cumsum(n_groups) - n_groups, size.astype(np.float64), depth)
