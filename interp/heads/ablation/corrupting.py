"""Corrupted sequences: entities change places, so that positions, lengths and counts stay."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.triplets import Entity, RelatedSequence

Side = Literal["tails", "heads"]
SIDES: tuple[Side, ...] = ("tails", "heads")


def swapped(
    sequence: RelatedSequence, side: Side, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " pos"], frozenset[int]]:
    """The tokens with two entities of one side exchanged, again and again, and who moved.

    Entities exchange places with another that is on the same side of some triplet, has the same
    type, and whose mentions have the same number of tokens, all of one length; mentions that share
    a token with another entity stay. Each entity moves once at most; an odd one out stays.
    """
    tokens = sequence.tokens.copy()
    moved: set[int] = set()
    for members in _exchangeable(sequence, side).values():
        order = rng.permutation(members).tolist()
        for a, b in zip(order[0::2], order[1::2], strict=False):
            _exchange(sequence, sequence.entities[a], sequence.entities[b], tokens)
            moved |= {a, b}
    return tokens, frozenset(moved)


def corrupted_sequences(
    corpus: RelationCorpus, side: Side, *, seed: int
) -> list[tuple[Int[np.ndarray, " pos"], frozenset[int]]]:
    """`swapped` for every sequence of a corpus; each draws by its own number."""
    return [
        swapped(sequence, side, np.random.default_rng([seed, 13, i]))
        for i, sequence in enumerate(corpus.sequences)
    ]


def _exchangeable(sequence: RelatedSequence, side: Side) -> dict[tuple[str, int], list[int]]:
    concerned = sorted({t.tail if side == "tails" else t.head for t in sequence.triplets})
    shared = _shared(sequence)
    groups: dict[tuple[str, int], list[int]] = {}
    for index in concerned:
        entity = sequence.entities[index]
        lengths = {stop - start for start, stop in entity.mentions}
        alone = not any(shared[start:stop].any() for start, stop in entity.mentions)
        if len(lengths) == 1 and alone:
            groups.setdefault((entity.type, lengths.pop()), []).append(index)
    return groups


def _shared(sequence: RelatedSequence) -> Bool[np.ndarray, " pos"]:
    """Tokens that more than one mention covers."""
    covered = np.zeros(len(sequence.tokens), np.int64)
    for entity in sequence.entities:
        for start, stop in entity.mentions:
            covered[start:stop] += 1
    return covered > 1


def _exchange(
    sequence: RelatedSequence, a: Entity, b: Entity, tokens: Int[np.ndarray, " pos"]
) -> None:
    """Write each one's first mention over every mention of the other."""
    for source, target in ((a, b), (b, a)):
        start, stop = source.mentions[0]
        for first, last in target.mentions:
            tokens[first:last] = sequence.tokens[start:stop]
