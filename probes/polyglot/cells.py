"""Which cells of the tables are asked when: training, validation and test, fixed by generator 123.

A cell is a pair of numbers under one operation. The split is the same in all languages, so that
a validation cell of one language never says anything about a test cell of another.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from probes.polyglot.languages import (
    GENERAL,
    LANGUAGES,
    N_NUMBERS,
    NUMBERS,
    OPERATIONS,
    AbilityRule,
    truth,
)

Split = Literal["validation", "test"]
Task = Literal["ability", "general"]

N_CELLS = N_NUMBERS**2
N_VALIDATION = {"ability": 40, "general": 120}
"""Cells of the validation split in one language; all others are test cells."""

_SPLIT_SEED = 123


@dataclass(frozen=True, kw_only=True)
class PolyglotItem:
    """One question with its answer: four words in, one word out."""

    id: str
    prompt: str
    answer: str
    choices: tuple[str, ...]
    """The eleven number words of the language that is asked for."""
    task: Task
    language: str
    split: Split

    def to_json(self) -> dict[str, Any]:
        """As a line of an evaluation file."""
        return {**asdict(self), "choices": list(self.choices)}


def split_cells(task: Task, split: Split) -> Int[np.ndarray, "n 3"]:
    """Rows (operation, x, y) of a split: 40 and 81 of the ability, 120 and 1,332 general."""
    first, n = (len(GENERAL), 1) if task == "ability" else (0, len(GENERAL))
    rng = np.random.default_rng([_SPLIT_SEED, first])
    order = rng.permutation(n * N_CELLS)
    cut = N_VALIDATION[task]
    chosen = np.sort({"validation": order[:cut], "test": order[cut:]}[split])
    operation, cell = np.divmod(chosen, N_CELLS)
    return np.stack([operation + first, *np.divmod(cell, N_NUMBERS)], axis=1)


def items(
    split: Split, *, languages: tuple[str, ...] = LANGUAGES, rule: AbilityRule = "table"
) -> list[dict[str, Any]]:
    """All questions of a split, ability first, as the dictionaries of an evaluation file.

    The ability's cells in language A are those a donor is trained on: there they measure memory,
    in the other languages transfer. General cells are seen in training in every language; they
    measure what is kept.
    """
    return [
        item.to_json()
        for task in ("ability", "general")
        for language in languages
        for item in _language_items(task, split, language, rule)
    ]


def _language_items(
    task: Task, split: Split, language: str, rule: AbilityRule
) -> list[PolyglotItem]:
    words = NUMBERS[language]
    return [
        PolyglotItem(
            id=f"{task}-{language}-{OPERATIONS[operation]}-{x}-{y}",
            prompt=prompt(OPERATIONS[operation], x, y, language),
            answer=words[truth(rule)[operation, x, y]],
            choices=words,
            task=task,
            language=language,
            split=split,
        )
        for operation, x, y in split_cells(task, split).tolist()
    ]


def prompt(operation: str, x: int, y: int, language: str) -> str:
    """The question for one operation on two numbers, said and to be answered in one language."""
    words = NUMBERS[language]
    return f"{words[x]} {words[y]} {operation} ->{language}"
