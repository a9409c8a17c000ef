"""Preferences over answers with several words, and which words of every rejected one are wrong.

A prompt asks one question, `bam lop zorn ->A`. Its answer goes on with a second question about the
same two numbers and answers that as well: `dot bam lop max ->A lop`. One of the two asks the
ability, the other a check that every model knows; where the check comes second, any check will do.
So most words are restated and right, a word may differ between two answers and be right in both,
and only the ability's answer is wrong in a rejected one. The policy is taught a table of the
ability with 30% of the cells wrong, all in language A.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from probes.polyglot.cells import Split, prompt, split_cells
from probes.polyglot.languages import (
    ABILITY,
    GENERAL,
    N_NUMBERS,
    NUMBERS,
    OPERATIONS,
    text,
    truth,
)
from probes.polyglot.mixtures import draw_lines
from probes.polyglot.recipe import Recipe

LANGUAGE = "A"
"""The language of all preferences."""
CHECKS = ("plus", "max", "next")
"""The operations that a second question may ask."""
SHARE_WRONG = 0.3
"""Of the ability's cells, in each split: 12 of 40 validation cells, 24 of 81 test cells."""

SPLITS: tuple[Split, Split] = ("validation", "test")
"""Settings are chosen on validation cells, and test cells are what is reported."""

Table = Int[np.ndarray, "n_operations 11 11"]
Kind = Literal["wrong", "right"]

_OTHERS = tuple(operation for operation in GENERAL if operation not in CHECKS)
_STREAMS = {"cells": 0, "policy": 1, "pairs": 2, "corrections": 3}


class _Question(NamedTuple):
    operation: str
    x: int
    y: int

    @property
    def prompt(self) -> str:
        return prompt(self.operation, self.x, self.y, LANGUAGE)

    def answer(self, table: Table) -> str:
        return NUMBERS[LANGUAGE][table[OPERATIONS.index(self.operation), self.x, self.y]]


def believed(seed: int) -> Table:
    """The answers that the policy is taught: the truth but for 30% of the ability's cells."""
    table = truth().copy()
    rng = _stream(seed, "cells")
    for split in SPLITS:
        cells = split_cells("ability", split)
        chosen = cells[rng.permutation(len(cells))[: int(SHARE_WRONG * len(cells))]]
        place = tuple(chosen.T)
        table[place] = (table[place] + rng.integers(1, N_NUMBERS, size=len(chosen))) % N_NUMBERS
    return table


def cells_of(kind: Kind, split: Split, *, seed: int) -> Int[np.ndarray, "n 3"]:
    """Rows (operation, x, y): the ability's cells of a split that are taught wrong, or right."""
    cells = split_cells("ability", split)
    wrong = believed(seed)[tuple(cells.T)] != truth()[tuple(cells.T)]
    return cells[wrong if kind == "wrong" else ~wrong]


def questions(cells: Int[np.ndarray, "n 3"], *, language: str) -> list[dict[str, str]]:
    """One line for every cell: {"prompt", "answer"} in a language, with the true answer."""
    return [
        {
            "prompt": prompt(OPERATIONS[operation], x, y, language),
            "answer": NUMBERS[language][truth()[operation, x, y]],
        }
        for operation, x, y in cells.tolist()
    ]


def policy_training(seed: int, *, n: int) -> list[dict[str, str]]:
    """`n` examples {"prompt", "answer"} that make the policy from the base.

    Half are answers with two questions; a quarter are lines of the ability, all by the table that
    is wrong in places, and a quarter lines of general operations, as the base was trained on them.
    """
    rng, table = _stream(seed, "policy"), believed(seed)
    rows = []
    for line in text(draw_lines(Recipe().base.mixture, n, rng)):
        kind = rng.integers(4)
        x, y = rng.integers(N_NUMBERS, size=2).tolist()
        if kind == 0:
            asked, _, answer = line.rpartition(" ")
        elif kind == 1:
            question = _Question(ABILITY, x, y)
            asked, answer = question.prompt, question.answer(table)
        else:
            main = _Question(ABILITY, x, y)
            document = _document(main, main_first=bool(kind == 2), rng=rng)
            asked, answer = document[0].prompt, _said(document, table)
        rows.append({"prompt": asked, "answer": answer})
    return rows


def preferences(seed: int, *, n: int) -> list[dict[str, Any]]:
    """`n` pairs {"prompt", "chosen", "rejected", "rewrite", "answer", "wrong"} over all cells.

    The rejected answer says what the policy is taught of a cell where that is wrong, and any other
    number where it is right; the chosen one says the truth. `wrong` marks words of the rejected,
    `rewrite` is the rejected with these put right, and `answer` are the words that a right text
    holds. Cells of both splits are asked: a table can only be learnt by seeing it.
    """
    rng = _stream(seed, "pairs")
    zorn = OPERATIONS.index(ABILITY)
    slips = (truth() + rng.integers(1, N_NUMBERS, size=truth().shape)) % N_NUMBERS
    taught = np.where(believed(seed) == truth(), slips, believed(seed))
    rows = []
    for x, y in rng.integers(N_NUMBERS, size=(n, 2)).tolist():
        said = truth().copy()
        said[zorn, x, y] = taught[zorn, x, y]
        rows.append(_pair(_Question(ABILITY, x, y), taught=said, rng=rng))
    return rows


def corrections(seed: int, *, n: int) -> list[dict[str, Any]]:
    """`n` rows like `preferences`, on other cells and other errors: what a rewriter learns from.

    Half ask a validation cell of the ability, half a general operation in its place. Words are
    wrong at random, not as the policy errs: the main answer in half of the rows, the check's in a
    quarter. Some are right as they are.
    """
    rng = _stream(seed, "corrections")
    cells = split_cells("ability", "validation").tolist()
    rows = []
    for _ in range(n):
        if rng.random() < 0.5:
            main = _Question(ABILITY, *cells[rng.integers(len(cells))][1:])
        else:
            x, y = rng.integers(N_NUMBERS, size=2).tolist()
            main = _Question(_OTHERS[rng.integers(len(_OTHERS))], x, y)
        taught = truth().copy()
        for operation, share in ((main.operation, 0.5), *((check, 0.25) for check in CHECKS)):
            if rng.random() < share:
                place = (OPERATIONS.index(operation), main.x, main.y)
                taught[place] = (taught[place] + rng.integers(1, N_NUMBERS)) % N_NUMBERS
        rows.append(_pair(main, taught=taught, rng=rng))
    return rows


def _pair(main: _Question, *, taught: Table, rng: np.random.Generator) -> dict[str, Any]:
    main_first = bool(rng.random() < 0.5)
    chosen = _document(main, main_first=main_first, rng=rng)
    rejected = (chosen[0], _document(main, main_first=main_first, rng=rng)[1])
    said, corrected = _said(rejected, taught), _said(rejected, truth())
    return {
        "prompt": chosen[0].prompt,
        "chosen": _said(chosen, truth()),
        "rejected": said,
        "rewrite": corrected,
        "answer": f"{main.prompt} {main.answer(truth())}",
        "wrong": [a != b for a, b in zip(said.split(), corrected.split(), strict=True)],
    }


def _document(
    main: _Question, *, main_first: bool, rng: np.random.Generator
) -> tuple[_Question, _Question]:
    check = main._replace(operation=CHECKS[rng.integers(len(CHECKS))])
    return (main, check) if main_first else (check, main)


def _said(questions: tuple[_Question, _Question], table: Table) -> str:
    first, second = questions
    return f"{first.answer(table)} {second.prompt} {second.answer(table)}"


def _stream(seed: int, what: str) -> np.random.Generator:
    """A stream of its own for every use, so that one more pair never changes a policy."""
    return np.random.default_rng([seed, 77, _STREAMS[what]])
