"""Batches to train on: documents as token ids, and which tokens are answers."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from probes.relations.document import Document, Draw
from probes.relations.vocabulary import PAD, Vocabulary


class Encoded(NamedTuple):
    """Documents side by side, padded on the right."""

    tokens: Int[np.ndarray, "documents pos"]
    answers: Bool[np.ndarray, "documents pos"]
    """Whether a token is the first of an answer."""


def encode(
    documents: Sequence[Document], vocabulary: Vocabulary, *, length: int | None = None
) -> Encoded:
    """Documents as tokens, all as long as the longest or as `length`, where longer ones end."""
    rows = [vocabulary.encode(document.words) for document in documents]
    width = length or max(len(tokens) for tokens, _ in rows)
    tokens = np.full((len(rows), width), PAD)
    answers = np.zeros((len(rows), width), bool)
    for i, (document, (row, starts)) in enumerate(zip(documents, rows, strict=True)):
        tokens[i, : len(row)] = row[:width]
        places = [place for fact in document.facts for place in fact.asked]
        asked = [starts[place] for place in (*places, *document.labels)]
        answers[i, [place for place in asked if place < width]] = True
    return Encoded(tokens, answers)


def batches(
    draw: Draw, vocabulary: Vocabulary, *, batch_size: int, seed: int, length: int | None = None
) -> Iterator[Encoded]:
    """An endless stream of drawn documents; the same seed gives the same stream."""
    rng = np.random.default_rng([seed, 1])
    while True:
        documents = [draw(rng) for _ in range(batch_size)]
        yield encode(documents, vocabulary, length=length)
