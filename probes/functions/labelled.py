"""Fresh sequences with the truth beside them: labels for capture, questions for perturbation.

Neither the seed of the lines nor their splits share draws with the training of any model.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from interp.corpus.corpus import Corpus, SpecialTokens
from interp.models.tokenizer import tokenizer_digest
from interp.modules.perturbation.items import FunctionItem, write_function_items
from interp.results.atomic import atomic_file
from probes.functions.tasks import (
    ANSWER_START,
    BOS,
    FIRST_FUNCTION,
    FUNCTION_POSITION,
    FUNCTIONS,
    LENGTH,
    N_OPERANDS,
    WORDS,
    draw,
    text,
)

Split = Literal["scoring", "validation", "test"]
SPLITS: tuple[Split, ...] = ("scoring", "validation", "test")
"""To score neurons, to estimate means, and to measure what is lost."""
SHUFFLED = tuple(f"shuffled {function}" for function in FUNCTIONS)
PREDICTING = slice(ANSWER_START - 1, LENGTH - 1)
"""Positions at which an answer is predicted: the colon and all answers but the last."""


def draw_split(*, seed: int, split: Split, n_per_function: int) -> Int[np.ndarray, "n 19"]:
    """Equally many sequences of every function, functions in turn."""
    rng = np.random.default_rng([seed, 3, SPLITS.index(split)])
    of = [draw(rng, n_per_function, function=i) for i in range(len(FUNCTIONS))]
    return np.stack(of, axis=1).reshape(-1, LENGTH)


def function_labels(tokens: Int[np.ndarray, "n 19"]) -> dict[str, Int[np.ndarray, "n 19"]]:
    """A yes-or-no label for every function: 1 or 0 where an answer is predicted, -1 elsewhere."""
    return _labels(tokens[:, FUNCTION_POSITION] - FIRST_FUNCTION, FUNCTIONS)


def shuffled_labels(
    tokens: Int[np.ndarray, "n 19"], *, seed: int
) -> dict[str, Int[np.ndarray, "n 19"]]:
    """The labels of other sequences, dealt at random: what is found here is found in nothing."""
    asked = tokens[:, FUNCTION_POSITION] - FIRST_FUNCTION
    return _labels(np.random.default_rng([seed, 4]).permutation(asked), SHUFFLED)


def _labels(
    asked: Int[np.ndarray, " n"], names: tuple[str, ...]
) -> dict[str, Int[np.ndarray, "n 19"]]:
    labels = {}
    for function, name in enumerate(names):
        labels[name] = np.full((len(asked), LENGTH), -1)
        labels[name][:, PREDICTING] = (asked == function)[:, None]
    return labels


def labelled_lines(
    *, seed: int, n_per_function: int, model: Path, split: Split = "scoring"
) -> Corpus:
    """A corpus of sequences with the labels FUNCTIONS and SHUFFLED, in the words of a model."""
    tokens = draw_split(seed=seed, split=split, n_per_function=n_per_function)
    return Corpus.from_tokens(
        tokens,
        labels=function_labels(tokens) | shuffled_labels(tokens, seed=seed),
        special_tokens=SpecialTokens(bos_id=BOS, special_ids=(0, 1, BOS)),
        d_vocab=len(WORDS),
        tokenizer_digest=tokenizer_digest(model),
        token_strings=list(WORDS),
        name=f"{len(tokens):,} labelled lines of functions ({split})",
    )


def function_items(*, seed: int, n_per_function: int) -> list[FunctionItem]:
    """Questions for `perturb`, as many of every function in each of its two splits."""
    items = []
    for split in SPLITS[1:]:
        tokens = draw_split(seed=seed, split=split, n_per_function=n_per_function)
        items += [
            FunctionItem(
                id=f"{split}-{i}",
                function=FUNCTIONS[row[FUNCTION_POSITION] - FIRST_FUNCTION],
                split=split,
                tokens=tuple(row),
                answer_start=ANSWER_START,
                answer_end=LENGTH,
                has_answer=True,
            )
            for i, row in enumerate(tokens.tolist())
        ]
    return items


def write_items(path: Path, *, seed: int = 0, n_per_function: int = 256) -> None:
    """Write `function_items` as jsonl, for `interp modules perturb`."""
    with atomic_file(path) as temporary:
        write_function_items(temporary, function_items(seed=seed, n_per_function=n_per_function))


def write_labelled(
    path: Path, *, seed: int = 0, n_per_function: int = 512, split: Split = "scoring"
) -> None:
    """Write lines as jsonl with the function of every token, null where no answer is predicted."""
    tokens = draw_split(seed=seed, split=split, n_per_function=n_per_function)
    rows = []
    for line, row in zip(text(tokens), tokens, strict=True):
        labels: list[str | None] = [None] * (LENGTH - 1)  # BOS is not among the line's words
        labels[ANSWER_START - 2 : LENGTH - 2] = [WORDS[row[FUNCTION_POSITION]]] * N_OPERANDS
        rows.append({"text": line, "function": labels})
    with atomic_file(path) as temporary:
        lines = [json.dumps(row) + "\n" for row in rows]
        temporary.write_text("".join(lines), encoding="utf-8")
