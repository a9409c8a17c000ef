"""Six functions of two symbols, and the sequences that ask them: `add 3 1 4 ... : 4 4 5 ...`.

A sequence is BOS, the word of a task, eight symbols x, a colon and eight symbols y with
y_i = f(x_i, x_{i-1}); the symbol before the first is the last.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

N_SYMBOLS = 8
N_OPERANDS = 8
SPECIAL = ("<pad>", "<unk>", "<bos>", ":")
FUNCTIONS = ("add", "product", "max", "xor", "difference", "quadratic")
SYMBOLS = tuple(str(symbol) for symbol in range(N_SYMBOLS))
WORDS = (*SPECIAL, *FUNCTIONS, *SYMBOLS)
"""The vocabulary: a word's id is its place."""

BOS, COLON = WORDS.index("<bos>"), WORDS.index(":")
FIRST_FUNCTION, FIRST_SYMBOL = WORDS.index(FUNCTIONS[0]), WORDS.index(SYMBOLS[0])
FUNCTION_POSITION = 1
ANSWER_START = 3 + N_OPERANDS
"""The position of the first answer; each is predicted at the position before its own."""
LENGTH = 3 + 2 * N_OPERANDS


def truth() -> Int[np.ndarray, "functions x z"]:
    """The answer of every function for every x and the z before it."""
    x, z = np.indices((N_SYMBOLS, N_SYMBOLS))
    answers = {
        "add": (x + z) % N_SYMBOLS,
        "product": (x + 1) * (z + 1) % 11 % N_SYMBOLS,
        "max": np.maximum(x, z),
        "xor": x ^ z,
        "difference": abs(x - z),
        "quadratic": (3 * x + z * z) % N_SYMBOLS,
    }
    return np.stack([answers[function] for function in FUNCTIONS])


def sequences(
    function: Int[np.ndarray, " n"], x: Int[np.ndarray, "n 8"]
) -> Int[np.ndarray, "n 19"]:
    """Token ids of the sequences that ask the functions, by number, of the operands."""
    y = truth()[function[:, None], x, np.roll(x, 1, axis=1)]
    column = np.ones((len(function), 1), np.int64)
    parts = [
        column * BOS,
        FIRST_FUNCTION + function[:, None],
        FIRST_SYMBOL + x,
        column * COLON,
        FIRST_SYMBOL + y,
    ]
    return np.concatenate(parts, axis=1)


def draw(
    rng: np.random.Generator, n: int, *, function: int | None = None
) -> Int[np.ndarray, "n 19"]:
    """`n` sequences with uniform operands, of one function or of all with equal probability."""
    asked = rng.integers(len(FUNCTIONS), size=n) if function is None else np.full(n, function)
    return sequences(asked, rng.integers(N_SYMBOLS, size=(n, N_OPERANDS)))


def batches(*, batch_size: int, seed: int) -> Iterator[Int[np.ndarray, "batch 19"]]:
    """An endless stream of drawn sequences; the same seed gives the same stream."""
    rng = np.random.default_rng([seed, 1])
    while True:
        yield draw(rng, batch_size)


def text(tokens: Int[np.ndarray, "n 19"]) -> list[str]:
    """The sequences as typed, without BOS: the tokenizer puts that before every line."""
    return [" ".join(WORDS[token] for token in row[1:]) for row in tokens]
