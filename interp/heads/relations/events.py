"""Events: at which positions, for which triplets, a head could raise the tail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Int

from interp.corpus.relations.corpus import RelationCorpus
from interp.corpus.relations.triplets import Entity, RelatedSequence, Triplet
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.controls import LEVELS, Match, control_tails, levels, tail_id
from interp.results.errors import BadInput

MAX_CONTROLS = 7
NULLS = ("typed", "visible", "tenth")


class SequenceEvents(NamedTuple):
    """The triplets and events of one sequence."""

    number: int
    document: int
    candidates: Int[np.ndarray, " n"]
    """Distinct token ids of which shares are made."""
    first_seen: Int[np.ndarray, " n"]
    """Position where each stands first; 0 where the choice of candidates is not by position."""
    allowed: Bool[np.ndarray, "triplets n"]
    relation: Int[np.ndarray, " triplets"]
    entities: Int[np.ndarray, "triplets pair"]
    """Head and tail entity of each triplet."""
    tail_first: Bool[np.ndarray, " triplets"]
    labels: Int[np.ndarray, "triplets labels"]
    """Indices into `candidates`: the true tail, then its control tails, then -1."""
    triplet: Int[np.ndarray, " events"]
    position: Int[np.ndarray, " events"]
    anchors: Int[np.ndarray, "events mentions"]
    """Positions of the head entity's mentions at or before the event, then -1."""
    tested: Bool[np.ndarray, " events"]
    """Whether true tail and control tails, of which there is one at least, could all be raised."""

    @property
    def label_tokens(self) -> Int[np.ndarray, "triplets labels"]:
        """The tokens of the labels, then -1; as wide as there could be control tails."""
        tokens = np.full((len(self.labels), 1 + MAX_CONTROLS), -1, np.int64)
        ids = np.where(self.labels >= 0, self.candidates[self.labels], -1)
        tokens[:, : ids.shape[1]] = ids
        return tokens


@dataclass(frozen=True, kw_only=True)
class EventPlan:
    """The events of a corpus under some choices; head-independent, and the same on every rank."""

    choices: RelationChoices
    relations: tuple[str, ...]
    match: tuple[Match, ...]
    """How control tails were matched, for each relation."""
    null: str
    """What control tails are."""
    sequences: tuple[SequenceEvents, ...]
    """Only those that have events."""
    left_out: dict[str, dict[str, int]]
    """Relation -> reason -> triplets."""

    @property
    def n_events(self) -> int:
        """Opportunities of all triplets."""
        return sum(len(s.position) for s in self.sequences)

    def part(self, index: int, of: int) -> "EventPlan":
        """Every `of`-th sequence from `index` on: what one of several processes reads."""
        return EventPlan(
            choices=self.choices,
            relations=self.relations,
            match=self.match,
            null=self.null,
            sequences=self.sequences[index::of],
            left_out=self.left_out,
        )


def plan_events(
    corpus: RelationCorpus,
    choices: RelationChoices,
    *,
    match: str = "auto",
    null: str = "typed",
    seed: int = 0,
) -> EventPlan:
    """The events of every triplet, with up to 7 control tails each, drawn by `seed` if more.

    Of the `null`, `typed` are other entities of the tail's type. `match="auto"` takes for each
    relation the strictest of distance, side and type that leaves half of its triplets one. Of
    `visible` they are any tokens before the first event (a preference for a class of words passes
    there), and `tenth` is the tenth token of the sequence, the baseline of arXiv 2402.13055.
    Raises BadInput where no triplet has any event.
    """
    if match not in ("auto", *LEVELS):
        raise BadInput(f"match={match!r}: one of auto, {', '.join(LEVELS)}")
    if null not in NULLS:
        raise BadInput(f"null={null!r}: one of {', '.join(NULLS)}")
    chosen = (
        levels(corpus, choices.tail_anchor)
        if match == "auto"
        else (cast(Match, match),) * len(corpus.relations)
    )
    planner = _Planner(choices, chosen, (null, seed), corpus.relations)
    planned = [planner.plan(i, s) for i, s in enumerate(corpus.sequences)]
    plan = EventPlan(
        choices=choices,
        relations=corpus.relations,
        match=chosen,
        null=null,
        sequences=tuple(s for s in planned if s is not None),
        left_out=planner.left_out,
    )
    if not plan.n_events:
        reasons = {why: n for why_of in plan.left_out.values() for why, n in why_of.items()}
        raise BadInput(
            f"{corpus.name}: none of its {corpus.n_triplets} triplets can be scored "
            f"({', '.join(f'{why}: {n}' for why, n in reasons.items()) or 'there is none'})"
        )
    return plan


class _Candidates(NamedTuple):
    """What the shares of one sequence are made of."""

    number: int
    ids: Int[np.ndarray, " n"]
    first_seen: Int[np.ndarray, " n"]
    place: dict[int, int]


class _Planner:
    """Plans sequence after sequence and counts what it leaves out."""

    def __init__(
        self,
        choices: RelationChoices,
        match: Sequence[Match],
        null: tuple[str, int],
        relations: Sequence[str],
    ) -> None:
        self.choices, self.match, self.relations = choices, match, relations
        self.null, self.seed = null
        self.left_out: dict[str, dict[str, int]] = {r: {} for r in relations}

    def plan(self, number: int, sequence: RelatedSequence) -> SequenceEvents | None:
        found = self._candidates(number, sequence)
        kept, labels, events = [], [], []
        for t, triplet in enumerate(sequence.triplets):
            if why := self._unusable(sequence, triplet, found.place):
                self._leave(triplet, why)
                continue
            own, tails = self._labels(sequence, triplet, t, found)
            at = list(self._events(sequence, triplet, found.first_seen[own], tails))
            if not at:
                self._leave(triplet, "no position to score it at")
                continue
            if len(own) == 1:
                self._leave(triplet, "no control tail (scored, not tested)")
            events += [(len(kept), *event) for event in at]
            kept.append(triplet)
            labels.append(own)
        if not kept:
            return None
        return SequenceEvents(
            number=number,
            document=sequence.document,
            candidates=found.ids,
            first_seen=found.first_seen,
            allowed=np.array([self._allowed(sequence, t, found.ids) for t in kept]),
            relation=np.array([t.relation for t in kept]),
            entities=np.array([[t.head, t.tail] for t in kept]),
            tail_first=np.array([_tail_first(sequence.entities, t) for t in kept]),
            labels=_padded(labels),
            triplet=np.array([e[0] for e in events]),
            position=np.array([e[1] for e in events]),
            anchors=_padded([e[2] for e in events]),
            tested=np.array([e[3] for e in events]),
        )

    def _leave(self, triplet: Triplet, why: str) -> None:
        counts = self.left_out[self.relations[triplet.relation]]
        counts[why] = counts.get(why, 0) + 1

    def _candidates(self, number: int, sequence: RelatedSequence) -> _Candidates:
        ids, first = np.unique(np.asarray(sequence.tokens, np.int64), return_index=True)
        if self.choices.candidates == "given":
            ids = np.unique(np.array(self.choices.given, np.int64))
            first = np.zeros(len(ids), np.int64)
        elif not self.choices.tail_visible:
            first = np.zeros_like(first)
        return _Candidates(number, ids, first, {int(token): i for i, token in enumerate(ids)})

    def _allowed(
        self, sequence: RelatedSequence, triplet: Triplet, candidates: Int[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        if self.choices.candidates != "typed":
            return np.ones(len(candidates), bool)
        kind, first = sequence.entities[triplet.tail].type, self.choices.tail_anchor == "first"
        ids = [
            int(sequence.tokens[start if first else stop - 1])
            for entity in sequence.entities
            if entity.type == kind
            for start, stop in entity.mentions
        ]
        return np.isin(candidates, ids)

    def _unusable(
        self, sequence: RelatedSequence, triplet: Triplet, place: dict[int, int]
    ) -> str | None:
        if triplet.head == triplet.tail:
            return "head and tail are one entity"
        token = tail_id(sequence, triplet.tail, self.choices.tail_anchor)
        mentions = sequence.entities[triplet.head].mentions
        if token in {int(sequence.tokens[self._anchor(mention)]) for mention in mentions}:
            return "head and tail share their token"
        return None if token in place else "its tail is not among the given candidates"

    def _anchor(self, mention: tuple[int, int]) -> int:
        return mention[1] - 1 if self.choices.head_anchor == "last" else mention[0]

    def _labels(
        self, sequence: RelatedSequence, triplet: Triplet, t: int, found: _Candidates
    ) -> tuple[list[int], list[int]]:
        """Candidates that are true tail and controls, and the entities they belong to."""
        anchor = self.choices.tail_anchor
        true = found.place[tail_id(sequence, triplet.tail, anchor)]
        if self.null == "typed":
            tails = control_tails(
                sequence, triplet, match=self.match[triplet.relation], anchor=anchor
            )
            place = {found.place.get(tail_id(sequence, e, anchor)): e for e in tails}
            place.pop(None, None)
            chosen = self._some([i for i in place if i is not None], (found.number, t))
            return [true, *chosen], [triplet.tail, *(place[i] for i in chosen)]
        if self.null == "tenth":
            tenth = found.place.get(int(sequence.tokens[9])) if len(sequence.tokens) > 9 else None
            return [true] if tenth in (None, true) else [true, tenth], [triplet.tail]
        start = min(self._positions(sequence, triplet), default=-1)
        visible = np.flatnonzero(found.first_seen <= start).tolist()
        chosen = self._some([i for i in visible if i != true], (found.number, t))
        return [true, *chosen], [triplet.tail]

    def _some(self, controls: list[int], key: tuple[int, int]) -> list[int]:
        if len(controls) <= MAX_CONTROLS:
            return controls
        # By sequence and triplet, so that neither order nor number of processes matters.
        rng = np.random.default_rng([self.seed, *key])
        return sorted(rng.choice(controls, MAX_CONTROLS, replace=False).tolist())

    def _events(
        self,
        sequence: RelatedSequence,
        triplet: Triplet,
        labels: Int[np.ndarray, " labels"],
        tails: Sequence[int],
    ) -> Iterator[tuple[int, list[int], bool]]:
        """Position, anchors, and whether every label could be raised there.

        `labels` are the positions where the labels stand first.
        """
        entities, keep = sequence.entities, self.choices.overlap == "keep"
        head = entities[triplet.head].mentions
        for j in self._positions(sequence, triplet):
            anchors = [
                self._anchor(mention)
                for mention in head
                if mention[1] - 1 <= j
                and (keep or self._anchor(mention) != j)
                and (self.choices.sink == "keep" or self._anchor(mention) > 0)
            ]
            if not anchors or not (keep or _outside(entities[triplet.tail], j)):
                continue
            possible = (labels <= j).all() and all(
                (not self.choices.tail_visible or entities[e].mentions[0][1] - 1 <= j)
                and (keep or _outside(entities[e], j))
                for e in tails
            )
            yield j, anchors, bool(possible) and len(labels) > 1

    def _positions(self, sequence: RelatedSequence, triplet: Triplet) -> Sequence[int]:
        entities = sequence.entities
        start = entities[triplet.head].mentions[0][1] - 1
        if self.choices.tail_visible:
            start = max(start, entities[triplet.tail].mentions[0][1] - 1)
        asked = [j for j in triplet.at if j >= start]
        return asked if triplet.at else range(start, len(sequence.tokens))


def _outside(entity: Entity, position: int) -> bool:
    return not any(start <= position < stop for start, stop in entity.mentions)


def _tail_first(entities: Sequence[Entity], triplet: Triplet) -> bool:
    return entities[triplet.tail].mentions[0] < entities[triplet.head].mentions[0]


def _padded(rows: Sequence[Sequence[int]]) -> Int[np.ndarray, "rows width"]:
    padded = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded
