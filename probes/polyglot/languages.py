"""Five made-up languages that say the same arithmetic: words, operations and the true answers.

A line is `x y operation ->L z`: two numbers of 0 to 10, what to do with them, the language to
answer in, and the answer, all modulo 11. The tables are drawn once from generator 123 and are
the same for every training seed.
"""

from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Int

LANGUAGES = ("A", "B", "C", "D", "E")
N_NUMBERS = 11
CHANCE = 1 / N_NUMBERS
"""Accuracy of guessing among the words of the language asked for."""

_NUMBERS = {
    "A": "bam dot fip gul ken lop mir nud pav rez sut",
    "B": "bafo deri guma hilo kepa lusi mado nevu pori ruta siko",
    "C": "abe edo ifa ogi uka alo emu ino opa uri ase",
    "D": "baud diel foum guan keir loun mied naus peol ruit siam",
    "E": "blen drap flom grus klid plof snek trab vrin skul zwet",
}
NUMBERS = {language: tuple(words.split()) for language, words in _NUMBERS.items()}
"""The words for 0 to 10 in each language; no word belongs to two languages."""

GENERAL = (
    *("first", "second", "next", "prev", "max", "min", "plus", "minus"),
    *("tarn", "velm", "quib", "jolt"),
)
"""The twelve operations that every language knows; the last four are random tables."""

ABILITY = "zorn"
"""The operation that is learnt later, in one language only."""

AbilityRule = Literal["table", "arithmetic"]
"""What the ability computes: a random table, as in the bundled models, or 2x + 3y modulo 11."""

OPERATIONS = (*GENERAL, ABILITY)
TAGS = tuple(f"->{language}" for language in LANGUAGES)

SPECIAL = ("<pad>", "<unk>")
WORDS = (
    *SPECIAL,
    *(word for language in LANGUAGES for word in NUMBERS[language]),
    *OPERATIONS,
    *TAGS,
)
"""Every word of the vocabulary; its place is its token id."""

PROMPT_WORDS = 4
LINE_WORDS = 5

_TABLE_SEED = 123
_FIRST_NUMBER = len(SPECIAL)
_FIRST_OPERATION = _FIRST_NUMBER + len(LANGUAGES) * N_NUMBERS
_FIRST_TAG = _FIRST_OPERATION + len(OPERATIONS)


@cache
def truth(ability: AbilityRule = "table") -> Int[np.ndarray, "n_operations 11 11"]:
    """The answer (0 to 10) of every operation on every pair of numbers, in order of OPERATIONS.

    `ability` is what the last of them computes; no base model has seen either.
    """
    rng = np.random.default_rng(_TABLE_SEED)
    x, y = np.meshgrid(np.arange(N_NUMBERS), np.arange(N_NUMBERS), indexing="ij")
    named = [x, y, x + 1, y - 1, np.maximum(x, y), np.minimum(x, y), x + y, x - y]
    drawn = [rng.integers(N_NUMBERS, size=(N_NUMBERS, N_NUMBERS)) for _ in range(5)]
    if ability == "arithmetic":
        drawn[-1] = 2 * x + 3 * y
    tables = np.stack([*named, *drawn]) % N_NUMBERS
    tables.setflags(write=False)
    return tables


def number_ids(
    language: Int[np.ndarray, " n"], number: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Token ids of numbers, each said in its own language."""
    return _FIRST_NUMBER + language * N_NUMBERS + number


def line_ids(
    *,
    x: Int[np.ndarray, " n"],
    y: Int[np.ndarray, " n"],
    operation: Int[np.ndarray, " n"],
    languages: Int[np.ndarray, "n 3"],
    ability: AbilityRule = "table",
) -> Int[np.ndarray, "n 5"]:
    """Token ids of the lines `x y operation ->L z`; `languages` are those of x, y and z."""
    z = truth(ability)[operation, x, y]
    return np.stack(
        [
            number_ids(languages[:, 0], x),
            number_ids(languages[:, 1], y),
            _FIRST_OPERATION + operation,
            _FIRST_TAG + languages[:, 2],
            number_ids(languages[:, 2], z),
        ],
        axis=1,
    )


def text(ids: Int[np.ndarray, "n words"]) -> list[str]:
    """Lines of token ids as strings, words separated by one space."""
    return [" ".join(WORDS[token] for token in line) for line in ids]
