"""RelationCorpus: token sequences with typed entities and triplets, and what was left out."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from interp.corpus.corpus import SpecialTokens
from interp.corpus.relations.triplets import Entity, RelatedSequence, Triplet
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes, sha256_json


@dataclass(frozen=True, kw_only=True)
class RelationBatch:
    """Some sequences, padded on the right to the longest of them."""

    tokens: Int[np.ndarray, "batch pos"]
    attention_mask: Bool[np.ndarray, "batch pos"]
    """False on padding."""
    sequences: tuple[RelatedSequence, ...]
    first: int
    """Number of the first sequence in the corpus."""


@dataclass(frozen=True, kw_only=True)
class RelationCorpus:
    """Sequences in one fixed order, with their triplets; read in batches."""

    name: str
    """The source, as a person would say it."""
    relations: tuple[str, ...]
    sequences: tuple[RelatedSequence, ...]
    dropped: dict[str, dict[str, int]]
    """Relation -> reason -> how many of its triplets could not be put on tokens."""
    n_triplets_found: dict[str, int]
    """Relation -> how many of its triplets the source holds."""
    tokenizer_digest: str | None
    """None where the source held ready ids."""
    bos: str
    """What was put before and after documents, in words."""
    length: int
    """No sequence is longer."""
    special_tokens: SpecialTokens = field(default_factory=SpecialTokens)

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The types of its entities, sorted."""
        return tuple(sorted({e.type for s in self.sequences for e in s.entities}))

    @cached_property
    def hash(self) -> str:
        """Changes with any token, mention or triplet; not with the text they were made of."""
        facts = [
            [sha256_bytes(s.tokens.astype("<i8").tobytes()), s.entities, s.triplets, s.document]
            for s in self.sequences
        ]
        special = self.special_tokens
        ids = [special.bos_id, special.eos_id, special.pad_id, list(special.special_ids)]
        return sha256_json(
            {"schema": "interp.relations/1", "of": self.relations, "in": facts, "special": ids}
        )

    @property
    def n_triplets(self) -> int:
        """Triplets of all sequences; one that stands in two sequences counts twice."""
        return sum(len(s.triplets) for s in self.sequences)

    @property
    def coverage(self) -> dict[str, float]:
        """Relation -> share of the source's triplets that are on tokens; NaN where it has none."""
        return {
            r: 1 - sum(self.dropped.get(r, {}).values()) / n
            if (n := self.n_triplets_found.get(r, 0))
            else float("nan")
            for r in self.relations
        }

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[RelatedSequence],
        *,
        relations: Sequence[str],
        name: str = "ready tokens",
        tokenizer_digest: str | None = None,
        special_tokens: SpecialTokens | None = None,
        bos: str = "ready ids, fed as they are",
    ) -> "RelationCorpus":
        """A corpus of ready ids whose triplets are all on tokens.

        Raises BadInput for a triplet of an entity or relation that is not there, and a mention or
        position outside of its sequence.
        """
        for number, sequence in enumerate(sequences):
            _check(sequence, f"{name}, sequence {number}", len(relations))
        counts = Counter(t.relation for s in sequences for t in s.triplets)
        return cls(
            name=name,
            relations=tuple(relations),
            sequences=tuple(sequences),
            dropped={r: {} for r in relations},
            n_triplets_found={r: counts[i] for i, r in enumerate(relations)},
            tokenizer_digest=tokenizer_digest,
            bos=bos,
            length=max((len(s.tokens) for s in sequences), default=1),
            special_tokens=special_tokens or SpecialTokens(),
        )

    def __repr__(self) -> str:
        return (
            f"<RelationCorpus {self.name!r}: {self.n_triplets:,} triplets of "
            f"{', '.join(self.relations)} in {len(self.sequences):,} sequences of up to "
            f"{self.length}, {self.bos}>"
        )

    def batches(self, batch_size: int) -> Iterator[RelationBatch]:
        """Batches of `batch_size` sequences in order; the last may be smaller."""
        if batch_size < 1:
            raise BadInput(f"batch_size {batch_size}: at least 1")
        special = self.special_tokens
        pad = next((i for i in (special.pad_id, special.eos_id) if i is not None), 0)
        for first in range(0, len(self.sequences), batch_size):
            chosen = self.sequences[first : first + batch_size]
            lengths = np.array([len(s.tokens) for s in chosen])
            mask = np.arange(lengths.max()) < lengths[:, None]
            tokens = np.full(mask.shape, pad, np.int64)
            tokens[mask] = np.concatenate([s.tokens for s in chosen])
            yield RelationBatch(tokens=tokens, attention_mask=mask, sequences=chosen, first=first)

    def reversed(self) -> "RelationCorpus":
        """Every triplet the other way round: from the tail to the head, asked nowhere."""

        def turned(sequence: RelatedSequence) -> RelatedSequence:
            triplets = tuple(Triplet(t.tail, t.relation, t.head) for t in sequence.triplets)
            return sequence._replace(triplets=triplets)

        name = {r: f"{r} (reversed)" for r in self.relations}
        return replace(
            self._with(turned, f"{self.name}, reversed"),
            relations=tuple(name.values()),
            dropped={name[r]: reasons for r, reasons in self.dropped.items()},
            n_triplets_found={name[r]: n for r, n in self.n_triplets_found.items()},
        )

    def halves(self, seed: int) -> "tuple[RelationCorpus, RelationCorpus]":
        """Two corpora of the documents, drawn at random, as many in each as can be.

        BadInput if there is only one document. What was dropped is that of the whole.
        """
        documents = np.unique([s.document for s in self.sequences])
        if len(documents) < 2:
            raise BadInput(f"{self.name} has one document: halves need two")
        order = np.random.default_rng(seed).permutation(documents)
        chosen = set(order[: len(order) // 2].tolist())
        first = tuple(s for s in self.sequences if s.document in chosen)
        second = tuple(s for s in self.sequences if s.document not in chosen)
        return (
            replace(self, name=f"{self.name}, half 1", sequences=first),
            replace(self, name=f"{self.name}, half 2", sequences=second),
        )

    def with_random_tails(self, seed: int) -> "RelationCorpus":
        """The control in which no tail means anything.

        Each tail is drawn, uniformly and the true one included, from the sequence's entities of
        the tail's type, the head left out; where a triplet is asked at a position, only from those
        mentioned before it (if the tail is).
        """
        rng = np.random.default_rng(seed)

        def drawn(sequence: RelatedSequence) -> RelatedSequence:
            triplets = tuple(
                t._replace(tail=int(rng.choice(_alternatives(sequence.entities, t))))
                for t in sequence.triplets
            )
            return sequence._replace(triplets=triplets)

        return self._with(drawn, f"{self.name}, random tails")

    def _with(
        self, change: Callable[[RelatedSequence], RelatedSequence], name: str
    ) -> "RelationCorpus":
        return replace(self, name=name, sequences=tuple(map(change, self.sequences)))


def _check(sequence: RelatedSequence, where: str, n_relations: int) -> None:
    n, n_entities = len(sequence.tokens), len(sequence.entities)
    for entity in sequence.entities:
        if not entity.mentions or not all(0 <= a < b <= n for a, b in entity.mentions):
            raise BadInput(
                f"{where}: entity {entity.id!r} is mentioned at {entity.mentions}, spans of its "
                f"{n} tokens were expected"
            )
    for triplet in sequence.triplets:
        inside = 0 <= triplet.relation < n_relations and all(0 <= i < n for i in triplet.at)
        if not inside or not all(0 <= i < n_entities for i in (triplet.head, triplet.tail)):
            raise BadInput(
                f"{where}: {triplet} is outside of its {n_entities} entities, {n} tokens and the "
                f"{n_relations} relations"
            )


def _alternatives(entities: tuple[Entity, ...], triplet: Triplet) -> list[int]:
    def seen(entity: Entity) -> bool:
        return not triplet.at or entity.mentions[0][1] <= min(triplet.at) + 1

    tail = entities[triplet.tail]
    return [
        i
        for i, entity in enumerate(entities)
        if entity.type == tail.type and i != triplet.head and (seen(entity) or not seen(tail))
    ]
