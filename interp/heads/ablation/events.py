"""Where a relation is asked: a position, the tail that it calls for, and what else it could be."""

from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.triplets import Entity, RelatedSequence, Triplet

HEAD_UNSEEN = "head not mentioned yet"
TAIL_UNSEEN = "tail not mentioned yet"
IN_TAIL = "inside a mention of the tail"
NO_CONTROL = "no other entity of its type"


@dataclass(frozen=True, kw_only=True)
class Events:
    """One entry for each position at which a triplet's tail is asked."""

    sequence: Int[np.ndarray, " events"]
    """Index into the corpus's sequences."""
    position: Int[np.ndarray, " events"]
    """Of the last token that is read: the tail would come next."""
    relation: Int[np.ndarray, " events"]
    triplet: Int[np.ndarray, " events"]
    """Index into the sequence's triplets."""
    head_entity: Int[np.ndarray, " events"]
    tail_entity: Int[np.ndarray, " events"]
    """Indices into the sequence's entities."""
    tail: Int[np.ndarray, " events"]
    """First token of the tail's first mention."""
    controls: Int[np.ndarray, "events most"]
    """First tokens of other entities of the tail's type, mentioned by then; -1 beyond the last."""
    target: Int[np.ndarray, " events"]
    """The token that does come next; the tail where the sequence ends."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Positions that are no event, by reason."""

    def __len__(self) -> int:
        return len(self.sequence)

    @cached_property
    def weight(self) -> Float[np.ndarray, " events"]:
        """Makes a sum over a sequence's events the mean over its triplets of the mean over each
        one's positions."""
        return _weights(self.sequence, self.triplet)

    @cached_property
    def relation_weight(self) -> Float[np.ndarray, " events"]:
        """The same for the sequence's triplets of one relation."""
        _, group = np.unique(np.stack([self.sequence, self.relation]), axis=1, return_inverse=True)
        return _weights(group.ravel(), self.triplet)

    def only(self, chosen: Bool[np.ndarray, " events"]) -> "Events":
        """Some of the events, in order; nothing is said of what was dropped."""
        columns = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "dropped"
        }
        return Events(**columns)


class _Event(NamedTuple):
    sequence: int
    position: int
    relation: int
    triplet: int
    head_entity: int
    tail_entity: int
    tail: int
    controls: tuple[int, ...]
    target: int


def asked_events(corpus: RelationCorpus, *, per_triplet: int, seed: int) -> Events:
    """The events of a corpus: a triplet's `at`, or positions after both of its mentions.

    A triplet that is asked nowhere has an event at each position from which both entities are
    mentioned and which has a next token; of these `per_triplet` are drawn. Both entities are
    mentioned in whole by then and the position is not inside the tail; controls are the entities
    of the tail's type that are mentioned by then, without the head, the tail, and every other tail
    of that head in that relation.
    """
    rng = np.random.default_rng([seed, 11])
    dropped: Counter[str] = Counter()
    found = [
        event
        for index, sequence in enumerate(corpus.sequences)
        for number, triplet in enumerate(sequence.triplets)
        for event in _of_triplet(sequence, index, number, triplet, per_triplet, rng, dropped)
    ]
    most = max((len(event.controls) for event in found), default=0)
    controls = np.full((len(found), most), -1, np.int64)
    for row, event in enumerate(found):
        controls[row, : len(event.controls)] = event.controls

    def column(name: str) -> Int[np.ndarray, " events"]:
        return np.array([getattr(event, name) for event in found], np.int64)

    names = [name for name in _Event._fields if name != "controls"]
    return Events(**{n: column(n) for n in names}, controls=controls, dropped=dict(dropped))


def _of_triplet(
    sequence: RelatedSequence,
    index: int,
    number: int,
    triplet: Triplet,
    per_triplet: int,
    rng: np.random.Generator,
    dropped: Counter[str],
) -> list[_Event]:
    head, tail = sequence.entities[triplet.head], sequence.entities[triplet.tail]
    if triplet.at:
        positions = list(triplet.at)
    else:
        first = max(head.mentions[0][1], tail.mentions[0][1]) - 1
        later = [j for j in range(first, len(sequence.tokens) - 1) if not _inside(tail, j)]
        chosen = rng.choice(len(later), min(per_triplet, len(later)), replace=False)
        positions = [later[i] for i in sorted(chosen)]
    events = []
    for j in positions:
        reason, controls = _controls(sequence, triplet, j)
        if reason:
            dropped[reason] += 1
            continue
        token = _anchor(sequence, tail)
        last = j + 1 == len(sequence.tokens)
        target = token if last else int(sequence.tokens[j + 1])
        events.append(
            _Event(
                sequence=index,
                position=j,
                relation=triplet.relation,
                triplet=number,
                head_entity=triplet.head,
                tail_entity=triplet.tail,
                tail=token,
                controls=controls,
                target=target,
            )
        )
    return events


def _controls(
    sequence: RelatedSequence, triplet: Triplet, j: int
) -> tuple[str | None, tuple[int, ...]]:
    """Why position `j` is no event, or None with the controls' tokens."""
    entities = sequence.entities
    head, tail = entities[triplet.head], entities[triplet.tail]
    if not _seen(head, j):
        return HEAD_UNSEEN, ()
    if not _seen(tail, j):
        return TAIL_UNSEEN, ()
    if _inside(tail, j):
        return IN_TAIL, ()
    answers = {t.tail for t in sequence.triplets if (t.head, t.relation) == triplet[:2]} | {
        triplet.head
    }
    own = _anchor(sequence, tail)
    tokens = {
        _anchor(sequence, entity)
        for i, entity in enumerate(entities)
        if i not in answers and entity.type == tail.type and _seen(entity, j)
    } - {own}
    return (None, tuple(sorted(tokens))) if tokens else (NO_CONTROL, ())


def _anchor(sequence: RelatedSequence, entity: Entity) -> int:
    return int(sequence.tokens[entity.mentions[0][0]])


def _seen(entity: Entity, j: int) -> bool:
    return entity.mentions[0][1] <= j + 1


def _inside(entity: Entity, j: int) -> bool:
    return any(start <= j < stop for start, stop in entity.mentions)


def _weights(
    group: Int[np.ndarray, " events"], triplet: Int[np.ndarray, " events"]
) -> Float[np.ndarray, " events"]:
    """1 / (positions of the event's triplet * triplets of its group)."""
    if not len(group):
        return np.zeros(0)
    pairs, pair, positions = np.unique(
        np.stack([group, triplet]), axis=1, return_inverse=True, return_counts=True
    )
    pair = pair.ravel()
    _, owner, triplets = np.unique(pairs[0], return_inverse=True, return_counts=True)
    return 1.0 / (positions[pair] * triplets[owner.ravel()][pair])
