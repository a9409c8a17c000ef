"""Control tails: other words of the tail's type, standing where the tail could have stood."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.triplets import RelatedSequence, Triplet

Match = Literal["distance", "side", "type"]
LEVELS: tuple[Match, ...] = ("distance", "side", "type")
_BINS = (4, 16, 64)
"""Distances 1 to 4, 5 to 16, 17 to 64 and beyond are one bin each."""
_ENOUGH = 0.5


class Place(NamedTuple):
    """Where an entity stands as seen from another: at their nearest mentions."""

    before: bool
    bin: int


def horizon(sequence: RelatedSequence, triplet: Triplet) -> int:
    """The first position that asks for the tail after head and tail, else the last of all.

    What comes later is not looked at: an answer written there would tell the tail from others.
    """
    both = max(sequence.entities[e].mentions[0][1] - 1 for e in (triplet.head, triplet.tail))
    return min((at for at in triplet.at if at >= both), default=len(sequence.tokens) - 1)


def place(sequence: RelatedSequence, head: int, other: int, until: int) -> Place | None:
    """On which side of `head` the nearest mention of `other` begins, and in which distance bin.

    Mentions that end after `until` do not count; None where one of both has no other.
    """
    heads = [stop - 1 for _, stop in sequence.entities[head].mentions if stop - 1 <= until]
    others = [a for a, stop in sequence.entities[other].mentions if stop - 1 <= until]
    if not heads or not others:
        return None
    nearest = min((b - a for a in heads for b in others), key=lambda d: (abs(d), d))
    return Place(nearest < 0, int(np.searchsorted(_BINS, abs(nearest))))


def tail_id(sequence: RelatedSequence, entity: int, anchor: str = "first") -> int:
    """The token that stands for a tail: an end of its first mention."""
    start, stop = sequence.entities[entity].mentions[0]
    return int(sequence.tokens[start if anchor == "first" else stop - 1])


def control_tails(
    sequence: RelatedSequence, triplet: Triplet, *, match: Match, anchor: str = "first"
) -> list[int]:
    """Entities that could have been the tail, in order, no two with the same token.

    Of the tail's type and at least as much alike in place as `match` asks; neither the head nor
    another true tail of it, nor one whose token is the tail's or stands for the head.
    """
    entities, until = sequence.entities, horizon(sequence, triplet)
    where = place(sequence, triplet.head, triplet.tail, until)
    true = {
        t.tail
        for t in sequence.triplets
        if t.head == triplet.head and t.relation == triplet.relation
    }
    taken = {tail_id(sequence, triplet.tail, anchor)}
    taken |= {int(sequence.tokens[stop - 1]) for _, stop in entities[triplet.head].mentions}
    chosen = []
    for other, entity in enumerate(entities):
        if entity.type != entities[triplet.tail].type or other == triplet.head or other in true:
            continue
        token = tail_id(sequence, other, anchor)
        if token in taken or not _alike(where, place(sequence, triplet.head, other, until), match):
            continue
        taken.add(token)
        chosen.append(other)
    return chosen


def _alike(a: Place | None, b: Place | None, match: Match) -> bool:
    if a is None or b is None:
        return False
    return match == "type" or (a.before == b.before and (match == "side" or a.bin == b.bin))


def levels(corpus: RelationCorpus, anchor: str = "first") -> tuple[Match, ...]:
    """For each relation the strictest match that leaves half of its triplets a control tail.

    It depends on the corpus alone, never on a model, so choosing it selects no head.
    """
    found = np.zeros((len(corpus.relations), len(LEVELS)))
    total = np.zeros(len(corpus.relations))
    for sequence in corpus.sequences:
        for triplet in sequence.triplets:
            total[triplet.relation] += 1
            for i, match in enumerate(LEVELS):
                if control_tails(sequence, triplet, match=match, anchor=anchor):
                    found[triplet.relation, i:] += 1
                    break
    return tuple(
        _first_enough(row, n) for row, n in zip(found.tolist(), total.tolist(), strict=True)
    )


def _first_enough(found: Sequence[float], total: float) -> Match:
    for level, n in zip(LEVELS, found, strict=True):
        if n >= _ENOUGH * total:
            return level
    return "type"
