"""Lines of polyglot as tokens, and the truth at every token: what a feature can be held against."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from interp.corpus.corpus import Corpus
from interp.models.tokenizer import tokenizer_digest
from probes.polyglot.languages import N_NUMBERS, OPERATIONS, TAGS, WORDS
from probes.polyglot.mixtures import Mixture, draw_lines

_FIRST_NUMBER = WORDS.index("bam")
_FIRST_OPERATION = WORDS.index(OPERATIONS[0])
_FIRST_TAG = WORDS.index(TAGS[0])
_SPLIT_SEED, _ONE_IN = 20, 8
_TAG = 3
"""Where a line `x y operation ->L z` says which language; the answer is read off there."""


def labelled_lines(
    mixture: Mixture, *, n: int, seed: int, model: Path, held_out: bool = False
) -> Corpus:
    """`n` lines with the labels of `line_labels`, in the vocabulary of the polyglot at `model`.

    An eighth of all (x, y, operation), the same for every seed, is held out: those questions are
    in the lines with `held_out` alone, and all others in the lines without.
    """
    tokens = split_lines(mixture, n=n, seed=seed, held_out=held_out)
    return Corpus.from_tokens(
        tokens,
        labels=line_labels(tokens),
        d_vocab=len(WORDS),
        tokenizer_digest=tokenizer_digest(model),
        token_strings=list(WORDS),
        name=f"{n:,} {'held-out' if held_out else 'labelled'} lines of polyglot",
    )


def split_lines(mixture: Mixture, *, n: int, seed: int, held_out: bool) -> Int[np.ndarray, "n 5"]:
    """`n` lines of the mixture whose question is, or is not, among the held-out ones."""
    rng = np.random.default_rng(seed)
    found = np.empty((0, 5), np.int64)
    while len(found) < n:
        drawn = draw_lines(mixture, n, rng)
        found = np.concatenate([found, drawn[is_held_out(drawn) == held_out]])
    return found[:n]


def is_held_out(tokens: Int[np.ndarray, "n 5"]) -> Bool[np.ndarray, " n"]:
    """Whether the question of each line, whatever its languages, is one that is held out."""
    x, y = ((tokens[:, place] - _FIRST_NUMBER) % N_NUMBERS for place in (0, 1))
    question = ((tokens[:, 2] - _FIRST_OPERATION) * N_NUMBERS + x) * N_NUMBERS + y
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(OPERATIONS) * N_NUMBERS**2)
    return order[question] % _ONE_IN == 0


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
