"""Item: one question with its answer, of one task, one language and one split."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

_REQUIRED = ("id", "prompt", "answer", "task", "language", "split")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A prompt whose right continuation is known."""

    id: str
    """Unique in its file; per-item results carry it, and paired tests join on it."""
    prompt: str
    answer: str
    """What should follow the prompt, with its own leading space where the tokenizer needs one."""
    choices: tuple[str, ...] = ()
    """Empty: the answer is generated. Else one of these is chosen, and `answer` is among them."""
    task: str
    language: str
    split: str
    """`validation` chooses, `test` is looked at once."""

    def __post_init__(self) -> None:
        if not self.answer:
            raise BadInput(f"item {self.id!r} has an empty answer")
        if self.choices and self.answer not in self.choices:
            raise BadInput(f"item {self.id!r}: the answer {self.answer!r} is not among its choices")

    def to_json(self) -> dict[str, Any]:
        """As one line of an items file."""
        content: dict[str, Any] = {name: getattr(self, name) for name in _REQUIRED}
        return content | ({"choices": list(self.choices)} if self.choices else {})


def read_items(path: Path) -> list[Item]:
    """The items of a jsonl file, in order. Raises BadInput naming the line and what it lacks."""
    items: list[Item] = []
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with {', '.join(_REQUIRED)}")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                items.append(_parse(line, where=f"{path}, line {number}"))
    check_ids(items)
    return items


def write_items(path: Path, items: Sequence[Item]) -> None:
    """Write items as jsonl."""
    lines = (json.dumps(item.to_json(), ensure_ascii=False) + "\n" for item in items)
    path.write_text("".join(lines), encoding="utf-8")


def _parse(line: str, *, where: str) -> Item:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where} is not a JSON object")
    missing = [name for name in _REQUIRED if not isinstance(row.get(name), str)]
    if missing:
        raise BadInput(f"{where} lacks the text field {missing[0]!r}: expected {_REQUIRED}")
    choices = row.get("choices") or ()
    if not isinstance(choices, list | tuple) or not all(isinstance(c, str) for c in choices):
        raise BadInput(f"{where}: choices must be a list of texts")
    return Item(choices=tuple(choices), **{name: row[name] for name in _REQUIRED})


def check_ids(items: Sequence[Item]) -> None:
    """Raise BadInput if an id stands twice."""
    twice = [id for id, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise BadInput(f"{len(twice)} item ids stand more than once, the first is {twice[0]!r}")


def split_of(items: Sequence[Item], split: str) -> list[Item]:
    """The items of one split, in order. Raises BadInput naming the splits there are if none."""
    chosen = [item for item in items if item.split == split]
    if not chosen:
        found = ", ".join(sorted({item.split for item in items})) or "none"
        raise BadInput(f"no item has split {split!r}: the file has {found}")
    return chosen


def check_disjoint(validation: Sequence[Item], test: Sequence[Item]) -> None:
    """Raise BadInput if an id, or a prompt of the same task, stands in both splits.

    A scale chosen on items that are then tested gives an accuracy that is too high.
    """
    ids = {item.id for item in validation} & {item.id for item in test}
    if ids:
        raise BadInput(f"{len(ids)} item ids are in both splits, the first is {min(ids)!r}")
    prompts = {item.prompt for item in validation} & {item.prompt for item in test}
    if prompts:
        raise BadInput(f"{len(prompts)} prompts are in both splits, the first is {min(prompts)!r}")


def items_hash(items: Sequence[Item]) -> str:
    """SHA-256 of the items' content: what an evaluation stood on."""
    return sha256_json([item.to_json() for item in items])
