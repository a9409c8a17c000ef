"""Questions of a world as a RelationCorpus: what heads are scored on and ablated on.

No seed of it shares draws with the training of any model.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from interp.corpus.corpus import SpecialTokens
from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.models.reference import BUNDLED
from interp.models.tokenizer import tokenizer_digest
from probes.relations.document import Document
from probes.relations.vocabulary import BOS, PAD, UNKNOWN, Vocabulary
from probes.relations.worlds import WORLDS


def draw_documents(name: str, *, n: int, seed: int) -> list[Document]:
    """`n` fresh documents with questions, of the world of a bundled model."""
    rng = np.random.default_rng([seed, 3])
    return [WORLDS[name].told(rng) for _ in range(n)]


def relation_corpus(
    name: str, *, n: int, seed: int, model: Path | None = None, answered_as: str | None = None
) -> RelationCorpus:
    """Documents of the world of the bundled model `name`, each a sequence with its triplets.

    Its triplets are the facts that are asked, and their `at` the positions at which the tail is to
    be predicted. `model` is a directory whose tokenizer it is for, the bundled one without it.
    `answered_as="grammar"` gives the control text that is answered rightly, which it never saw.
    """
    world = answered_as or name
    documents = draw_documents(world, n=n, seed=seed)
    digest = tokenizer_digest(model or BUNDLED / "relations" / name)
    special = SpecialTokens(bos_id=BOS, pad_id=PAD, special_ids=(PAD, UNKNOWN, BOS))
    return RelationCorpus.from_sequences(
        related(documents, WORLDS[world].vocabulary, WORLDS[world].relations),
        relations=WORLDS[world].relations,
        name=f"{n:,} documents of relations/{world}, seed {seed}",
        tokenizer_digest=digest,
        special_tokens=special,
        bos="BOS before each document",
    )


def related(
    documents: Sequence[Document], vocabulary: Vocabulary, relations: Sequence[str]
) -> list[RelatedSequence]:
    """Documents as sequences of tokens with their entities and triplets."""
    return [_sequence(d, i, vocabulary, relations) for i, d in enumerate(documents)]


def _sequence(
    document: Document, number: int, vocabulary: Vocabulary, relations: Sequence[str]
) -> RelatedSequence:
    tokens, starts = vocabulary.encode(document.words)
    ends = [*starts[1:], len(tokens)]
    entities = tuple(
        Entity(e.id, e.type, tuple((starts[p], ends[p]) for p in e.places))
        for e in document.entities
    )
    triplets = tuple(
        Triplet(f.head, relations.index(f.relation), f.tail, tuple(starts[p] - 1 for p in f.asked))
        for f in document.asked
    )
    return RelatedSequence(np.array(tokens), entities, triplets, number, document.text)
