"""Streams: what heads are fed, as batches with the hash and the words a result needs of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.corpus.corpus import Corpus
from interp.corpus.relations import RelationCorpus
from interp.heads.attention.batch import HeadBatch
from interp.heads.tokens import RandomTokens
from interp.results.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Sequences that several detectors read in the same forward passes."""

    batches: Callable[[int], Iterator[HeadBatch]]
    hash: str
    n_sequences: int
    """At most so many: a text may end before."""
    length: int
    """No sequence is longer."""
    description: dict[str, Any]
    """How the sequences were made; JSON values."""


def text_stream(corpus: Corpus, *, sequences: int) -> Stream:
    """The first `sequences` sequences of a text; queries are all its tokens but BOS."""

    def batches(batch_size: int) -> Iterator[HeadBatch]:
        left = sequences
        for batch in corpus.batches(min(batch_size, sequences)):
            n = min(left, len(batch.tokens))
            yield HeadBatch(
                tokens=batch.tokens[:n],
                attention_mask=batch.attention_mask[:n],
                is_query=(batch.attention_mask & ~batch.bos)[:n],
                sequence=batch.sequence[:n],
            )
            left -= n
            if left == 0:
                return

    return Stream(
        batches=batches,
        hash=corpus.hash,
        n_sequences=sequences,
        length=corpus.length,
        description={"source": corpus.name, "sequences": sequences, "bos": corpus.bos},
    )


def relation_stream(corpus: RelationCorpus) -> Stream:
    """All sequences of a corpus of relations; `detail` holds the sequences themselves."""
    if not corpus.sequences:
        raise BadInput(f"{corpus.name} holds no sequence: heads need some to read")
    bos_id = corpus.special_tokens.bos_id

    def batches(batch_size: int) -> Iterator[HeadBatch]:
        for batch in corpus.batches(batch_size):
            is_query = batch.attention_mask.copy()
            if bos_id is not None:
                is_query[:, 0] &= batch.tokens[:, 0] != bos_id
            yield HeadBatch(
                tokens=batch.tokens,
                attention_mask=batch.attention_mask,
                is_query=is_query,
                sequence=np.arange(batch.first, batch.first + len(batch.tokens)),
                detail=batch.sequences,
            )

    return Stream(
        batches=batches,
        hash=corpus.hash,
        n_sequences=len(corpus.sequences),
        length=max(len(s.tokens) for s in corpus.sequences),
        description={"source": corpus.name, "bos": corpus.bos},
    )


def random_stream(tokens: RandomTokens) -> Stream:
    """Repeated random tokens; their first repeats are random tokens without any copy."""
    return Stream(
        batches=tokens.batches,
        hash=tokens.hash,
        n_sequences=len(tokens.tokens),
        length=tokens.tokens.shape[1],
        description=tokens.description,
    )
