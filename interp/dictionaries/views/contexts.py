"""The strongest contexts of every feature, and an even sample of all its firings, in one pass."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from interp.dictionaries.views.firings import Firings, scrambled
from interp.dictionaries.views.parts import Contexts

_EMPTY = -1
_Windows = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From indices of offers to the tokens around them and the activations there."""


@dataclass(frozen=True)
class _Offers:
    """Entries that ask for a place among the best, by the order in which they stand in a batch."""

    place: Int[np.ndarray, " n"]
    """Index into the batch's entries."""
    feature: Int[np.ndarray, " n"]
    rank: Float[np.ndarray, " n"]
    """The higher the better."""
    row: Int[np.ndarray, " n"]
    sequence: Int[np.ndarray, " n"]


class BestContexts:
    """The `keep` best firings of each feature under a total order, so any split gives the same.

    `strongest` ranks by |activation| and takes one row a sequence, `sampled` by a hash of row and
    feature: a uniform sample without replacement, weak activations as likely as strong ones.
    """

    def __init__(self, d_sae: int, *, keep: int, width: int, seed: int | None = None) -> None:
        self.width = width
        self._seed = seed
        self._rank = np.full((d_sae, keep), -np.inf)
        self._row = np.full((d_sae, keep), _EMPTY, np.int64)
        self._sequence = np.full((d_sae, keep), _EMPTY, np.int64)
        self._value = np.full((d_sae, keep), np.nan, np.float32)
        self._token = np.full((d_sae, keep, 2 * width + 1), _EMPTY, np.int32)
        self._along = np.full((d_sae, keep, 2 * width + 1), np.nan, np.float32)

    @classmethod
    def strongest(cls, d_sae: int, *, keep: int, width: int) -> "BestContexts":
        """The rows with the highest |activation|, one of each sequence."""
        return cls(d_sae, keep=keep, width=width)

    @classmethod
    def sampled(cls, d_sae: int, *, keep: int, width: int, seed: int) -> "BestContexts":
        """Rows drawn evenly from all on which the feature fires."""
        return cls(d_sae, keep=keep, width=width, seed=seed)

    def update(self, batch: Firings) -> None:
        """Offer the firings of a batch, whose rows around it complete the contexts."""
        offers = self._offers(batch)
        if len(offers.feature):
            token, along = _windows(batch, self.width)
            self._take(
                offers,
                value=batch.value[offers.place],
                windows=lambda chosen: (
                    token[batch.row[offers.place[chosen]]],
                    along(offers.place[chosen]),
                ),
            )

    def merge(self, other: "BestContexts") -> None:
        """Offer what was best among other rows."""
        feature, slot = np.nonzero(other._row != _EMPTY)
        place = np.arange(len(feature))
        offers = _Offers(
            place,
            feature,
            other._rank[feature, slot],
            other._row[feature, slot],
            other._sequence[feature, slot],
        )
        self._take(
            offers,
            value=other._value[feature, slot],
            windows=lambda chosen: (
                other._token[feature[chosen], slot[chosen]],
                other._along[feature[chosen], slot[chosen]],
            ),
        )

    def finish(self, band_edges: Float[np.ndarray, "d_sae n_edges"]) -> Contexts:
        """The contexts, the strongest first; `band_edges` are |activation| between the bands."""
        order = np.argsort(-np.nan_to_num(abs(self._value), nan=-np.inf), axis=1, kind="stable")
        feature = np.arange(len(order))[:, None]
        value, row = self._value[feature, order], self._row[feature, order]
        band = (abs(value)[:, :, None] >= band_edges[:, None, :]).sum(axis=2)
        return Contexts(
            row=row,
            sequence=self._sequence[feature, order],
            activation=value,
            band=np.where(row == _EMPTY, _EMPTY, band).astype(np.int8),
            token=self._token[feature, order],
            along=self._along[feature, order],
        )

    def _offers(self, batch: Firings) -> _Offers:
        place = np.flatnonzero(batch.counted)
        if self._seed is None:
            rank = np.abs(batch.value[place]).astype(np.float64)
        else:
            number = batch.first_row + batch.row[place].astype(np.int64)
            drawn = scrambled(number * batch.d_sae + batch.feature[place], self._seed)
            rank = drawn / 2.0**64
        # A feature's worst place is -inf until all its places are taken.
        hopeful = rank >= self._rank[batch.feature[place], -1]
        place, rank = place[hopeful], rank[hopeful]
        row = batch.row[place]
        return _Offers(
            place,
            batch.feature[place],
            rank,
            batch.first_row + row.astype(np.int64),
            batch.sequence[row].astype(np.int64),
        )

    def _take(
        self, offers: _Offers, *, value: Float32[np.ndarray, " n"], windows: _Windows
    ) -> None:
        """Rank the offers among what is there, and rewrite the features that change."""
        touched = np.unique(offers.feature)
        held_at, held_slot = np.nonzero(self._row[touched] != _EMPTY)
        held = touched[held_at]
        feature = np.concatenate([held, offers.feature])
        rank = np.concatenate([self._rank[held, held_slot], offers.rank])
        row = np.concatenate([self._row[held, held_slot], offers.row])
        sequence = np.concatenate([self._sequence[held, held_slot], offers.sequence])
        chosen, slot = _best(
            feature, rank, row, sequence if self._seed is None else row, keep=self._row.shape[1]
        )
        is_new = chosen >= len(held)
        old, new = chosen[~is_new], chosen[is_new] - len(held)
        token, along = windows(new)
        kept = (held[old], held_slot[old])
        columns = [
            (self._rank, rank[chosen], -np.inf),
            (self._row, row[chosen], _EMPTY),
            (self._sequence, sequence[chosen], _EMPTY),
            (self._value, _joined(is_new, self._value[kept], value[new]), np.nan),
            (self._token, _joined(is_new, self._token[kept], token), _EMPTY),
            (self._along, _joined(is_new, self._along[kept], along), np.nan),
        ]
        for array, content, empty in columns:
            array[touched] = empty
            array[feature[chosen], slot] = content


def _best(
    feature: Int[np.ndarray, " n"],
    rank: Float[np.ndarray, " n"],
    row: Int[np.ndarray, " n"],
    group: Int[np.ndarray, " n"],
    *,
    keep: int,
) -> tuple[Int[np.ndarray, " chosen"], Int[np.ndarray, " chosen"]]:
    """Of each feature the `keep` highest in rank (ties: the earlier row), one of each group.

    Their indices, and the place 0, 1, ... of each among its feature's.
    """
    order = np.lexsort((row, -rank, feature))
    by_group = np.lexsort((np.arange(len(order)), group[order], feature[order]))
    grouped = order[by_group]
    again = np.zeros(len(order), bool)
    again[1:] = (feature[grouped[1:]] == feature[grouped[:-1]]) & (
        group[grouped[1:]] == group[grouped[:-1]]
    )
    first = np.ones(len(order), bool)
    first[by_group[again]] = False
    order = order[first]
    starts = np.flatnonzero(np.diff(feature[order], prepend=-1))
    slot = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order[slot < keep], slot[slot < keep]


def _joined(is_new: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    content = np.empty((len(is_new), *old.shape[1:]), old.dtype)
    content[~is_new], content[is_new] = old, new
    return content


def _windows(
    batch: Firings, width: int
) -> tuple[Int32[np.ndarray, "rows pos"], Callable[[np.ndarray], np.ndarray]]:
    """Tokens around every row of the batch, and a function that finds activations around entries.

    A document or a sequence ends its context; rows that the batch does not hold are outside.
    """
    n = len(batch.token)
    offset = np.arange(-width, width + 1)
    around = np.arange(n)[:, None] + offset
    at = np.clip(around, 0, max(n - 1, 0))
    inside = (around >= 0) & (around < n)
    inside &= batch.document[at] == batch.document[:, None]
    inside &= batch.sequence[at] == batch.sequence[:, None]
    token = np.where(inside, batch.token[at], _EMPTY).astype(np.int32)

    def along(place: Int[np.ndarray, " n"]) -> Float32[np.ndarray, "n pos"]:
        # Entries of one feature stand row by row: those around a row are within `width` places.
        near = np.clip(place[:, None] + offset, 0, len(batch.feature) - 1)
        distance = batch.row[near].astype(np.int64) - batch.row[place][:, None]
        same = (batch.feature[near] == batch.feature[place][:, None]) & (abs(distance) <= width)
        found = np.zeros((len(place), 2 * width + 1), np.float32)
        entry, _ = np.nonzero(same)
        found[entry, distance[same] + width] = batch.value[near[same]]
        return np.where(inside[batch.row[place]], found, np.float32(np.nan))

    return token, along


def tokens_of(contexts: Contexts) -> Int32[np.ndarray, "d_sae n"]:
    """The token on which each context fires; -1 for none."""
    return np.asarray(contexts.token[:, :, contexts.token.shape[2] // 2])
