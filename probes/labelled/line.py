"""LabelledLine: a text, the function it tests, its label, and which side of the split it is on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from interp.results.atomic import atomic_file

Split = Literal["train", "test"]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class LabelledLine:
    """One example of one sub-function."""

    text: str
    label: Literal[0, 1]
    function: str
    """The group: `semantic`, `knowledge` or `task`."""
    subfunction: str
    """A homograph, a relation or a task: what one detector can detect."""
    split: Split
    """Decided by the items, whatever the seed: none is on both sides of its sub-function."""
    item: str
    """The lexical items that make the line this line, sorted and joined by +."""
    pattern: str
    """What else made it, for a person: the sense, the prompt or the rule of the grammar."""
    span: tuple[int, int]
    """First character, and the one after the last, of the word that the label is about."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, one line of the file: `label_at_word` says the label at the span only,
        so that what pools labelled tokens reads them alone."""
        fields = asdict(self)
        start, stop = fields.pop("span")
        return {**fields, "label_at_word": [[start, stop, self.label]]}


@dataclass(frozen=True, kw_only=True)
class TokenLine:
    """A text whose words have a class each."""

    text: str
    classes: tuple[tuple[int, int, str], ...]
    """First character of a word, the one after its last, and its class."""
    function: str
    """The name under which the classes are written."""
    split: Split
    item: str
    """What decides the side, as in a LabelledLine."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object: the field named as the function holds [start, stop, class] of words."""
        return {
            "text": self.text,
            self.function: [list(word) for word in self.classes],
            "split": self.split,
            "item": self.item,
        }


Line = LabelledLine | TokenLine


def write_lines(path: Path, lines: Sequence[Line]) -> None:
    """Write one JSON object a line, whole or not at all; equal lines make equal bytes."""
    text = "".join(json.dumps(line.to_json(), ensure_ascii=False) + "\n" for line in lines)
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def split_of(items: Sequence[Item], *, every: int = 3) -> dict[Split, list[Item]]:
    """The items of each side: every third is for the test, by its place in the list alone."""
    return {
        "train": [item for i, item in enumerate(items) if (i + 1) % every],
        "test": [item for i, item in enumerate(items) if not (i + 1) % every],
    }


def share_of(split: Split, n: int) -> int:
    """How many of `n` lines are for that side: a third, rounded down, for the test."""
    return n // 3 if split == "test" else n - n // 3
