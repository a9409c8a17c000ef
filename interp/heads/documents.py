"""Documents: which of a corpus's documents a finding was made on, told by their tokens."""

from collections import defaultdict

import numpy as np
from jaxtyping import Int

from interp.corpus.relations import RelationCorpus
from interp.results.hashing import sha256_bytes

_TELLING = 16
"""Tokens of a part from which it tells its document: a shorter rest may stand in many."""


def digests(corpus: RelationCorpus) -> Int[np.ndarray, " _"]:
    """A number for every document and every long part of one, sorted; special tokens aside.

    Neither the triplets nor the place in the corpus count: halves and reversed relations keep them.
    """
    every = {one for own in _by_document(corpus).values() for one in own}
    return np.array(sorted(every), np.int64)


def documents_among(corpus: RelationCorpus, seen: Int[np.ndarray, " _"]) -> set[int]:
    """The documents of a corpus that have one of these digests, whole or in a part."""
    known = set(seen.tolist())
    return {document for document, own in _by_document(corpus).items() if own & known}


def _by_document(corpus: RelationCorpus) -> dict[int, set[int]]:
    parts: dict[int, list[np.ndarray]] = defaultdict(list)
    for sequence in corpus.sequences:
        special = np.isin(sequence.tokens, list(corpus.special_tokens.special_ids))
        parts[sequence.document].append(sequence.tokens[~special].astype("<i8"))
    return {
        document: {_digest(one) for one in own if len(one) >= _TELLING}
        | {_digest(np.concatenate(own))}
        for document, own in parts.items()
    }


def _digest(tokens: np.ndarray) -> int:
    return int(np.int64(np.uint64(int(sha256_bytes(tokens.tobytes())[:16], 16))))
