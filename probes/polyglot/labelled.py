"""Lines of polyglot as tokens, and the truth at every token: what a feature can be held against."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from interp.corpus.corpus import Corpus
from interp.models.tokenizer import tokenizer_digest
from probes.polyglot.languages import N_NUMBERS, OPERATIONS, TAGS, WORDS
from probes.polyglot.mixtures import Mixture, draw_lines

_FIRST_NUMBER = WORDS.index("bam")
_FIRST_OPERATION = WORDS.index(OPERATIONS[0])
_FIRST_TAG = WORDS.index(TAGS[0])
_TAG = 3
"""Where a line `x y operation ->L z` says which language; the answer is read off there."""


def labelled_lines(mixture: Mixture, *, n: int, seed: int, model: Path) -> Corpus:
    """`n` lines with the labels of `line_labels`, in the vocabulary of the polyglot at `model`."""
    tokens = draw_lines(mixture, n, np.random.default_rng(seed))
    return Corpus.from_tokens(
        tokens,
        labels=line_labels(tokens),
        d_vocab=len(WORDS),
        tokenizer_digest=tokenizer_digest(model),
        token_strings=list(WORDS),
        name=f"{n:,} labelled lines of polyglot",
    )


def line_labels(tokens: Int[np.ndarray, "n 5"]) -> dict[str, Int[np.ndarray, "n 5"]]:
    """What is true at each token of each line; -1 where the question does not arise.

    `number` is the number (0 to 10) a word stands for, whatever the language; `language` is the
    place in LANGUAGES of a word's or a tag's language; `operation` is the place in OPERATIONS of
    the operation, once it was said; `answer` is, at the tag alone, the number to be said next.
    """
    is_number = (tokens >= _FIRST_NUMBER) & (tokens < _FIRST_OPERATION)
    number = np.where(is_number, (tokens - _FIRST_NUMBER) % N_NUMBERS, -1)
    language = np.where(is_number, (tokens - _FIRST_NUMBER) // N_NUMBERS, -1)
    language[:, _TAG] = tokens[:, _TAG] - _FIRST_TAG
    operation = np.full_like(tokens, -1)
    operation[:, 2:] = (tokens[:, 2] - _FIRST_OPERATION)[:, None]
    answer = np.full_like(tokens, -1)
    answer[:, _TAG] = number[:, _TAG + 1]
    return {"answer": answer, "language": language, "number": number, "operation": operation}
