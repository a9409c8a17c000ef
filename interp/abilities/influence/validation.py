"""The validation set of an influence: its sub-tasks, their folds, and their shuffled answers."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from interp.abilities.influence.cosines import Part
from interp.abilities.influence.rows import (
    EncodedRow,
    Row,
    encode_row,
    read_rows,
    with_shuffled_answers,
)
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes

FOLDS = 8
"""Parts that a sub-task is cut into: their spread gives the interval, every second one a half."""
ONE_TASK = "all"
"""The sub-task of lines that name none."""


class Validation(NamedTuple):
    """The validation examples, in the parts that are averaged."""

    parts: tuple[Part, ...]
    rows: tuple[list[EncodedRow], ...]
    """Of every part."""
    subtasks: tuple[str, ...]
    n_by_subtask: tuple[int, ...]
    hash: str

    @property
    def n_rows(self) -> int:
        """Examples of all parts, shuffled ones included."""
        return sum(len(rows) for rows in self.rows)


def read_validation(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    *,
    subtask: str,
    shuffles: int,
    length: int,
    rng: np.random.Generator,
) -> Validation:
    """The rows of a jsonl file by the value of their field `subtask`, and their nulls."""
    rows = list(read_rows(path))
    if not rows:
        raise BadInput(f"{path} is empty: give examples of the ability")
    names = [str(row.content.get(subtask, ONE_TASK)) for row in rows]
    subtasks = tuple(sorted(set(names)))
    parts: list[Part] = []
    groups: list[list[EncodedRow]] = []

    def add(index: int, shuffle: int | None, group: list[Row]) -> None:
        parts.append(Part(index, shuffle, len(group)))
        groups.append([encode_row(row, tokenizer, length=length) for row in group])

    counts = []
    for index, name in enumerate(subtasks):
        own = [row for row, of in zip(rows, names, strict=True) if of == name]
        counts.append(len(own))
        folds = min(FOLDS, len(own))
        for fold in range(folds):
            add(index, None, own[fold::folds])
        for shuffle in range(shuffles):
            add(index, shuffle, with_shuffled_answers(own, rng))
    return Validation(
        parts=tuple(parts),
        rows=tuple(groups),
        subtasks=subtasks,
        n_by_subtask=tuple(counts),
        hash=sha256_bytes(b"".join(row.hash for row in rows)),
    )
