"""Item: one question with its answer, of one task, one language and one split."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

_TEXTS = ("id", "prompt", "answer", "task", "language", "split")
NO_LANGUAGE = "-"


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
        content: dict[str, Any] = {name: getattr(self, name) for name in _TEXTS}
        return content | ({"choices": list(self.choices)} if self.choices else {})


def read_items(path: Path) -> list[Item]:
    """The items of a jsonl file, in order: `prompt` and `answer`, and what else a line says.

    A line without an id gets the file's name and its number, without a task the file's name,
    without a language "-", without a split `test`. Raises BadInput naming the line and what it
    lacks.
    """
    items: list[Item] = []
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with prompt and answer")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                items.append(_parse(line, path, number))
    check_ids(items)
    return items


def gather_items(items: Sequence[Path] | Sequence[Item], *, split: str | None = None) -> list[Item]:
    """Items of several files, or as they are; only those of `split` if one is named.

    Raises BadInput on a doubled id, or if there is none.
    """
    found: list[Item] = []
    for entry in items:
        found.extend(read_items(entry) if isinstance(entry, Path) else [entry])
    check_ids(found)
    if not found:
        raise BadInput("there is no item to ask: the files are empty")
    return found if split is None else split_of(found, split)


def write_items(path: Path, items: Sequence[Item]) -> None:
    """Write items as jsonl."""
    lines = (json.dumps(item.to_json(), ensure_ascii=False) + "\n" for item in items)
    path.write_text("".join(lines), encoding="utf-8")


def _parse(line: str, path: Path, number: int) -> Item:
    where = f"{path}, line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where} is not a JSON object")
    choices = row.get("choices") or ()
    if not isinstance(choices, list | tuple) or not all(isinstance(c, str) for c in choices):
        raise BadInput(f"{where}: choices must be a list of texts")
    unsaid = {
        "id": f"{path.stem}-{number}",
        "task": path.stem,
        "language": NO_LANGUAGE,
        "split": "test",
    }
    texts = {name: _text(unsaid | row, name, where) for name in _TEXTS}
    return Item(choices=tuple(choices), **texts)


def _text(row: dict[str, Any], name: str, where: str) -> str:
    text = row.get(name)
    if not isinstance(text, str):
        raise BadInput(f"{where} lacks the text field {name!r}: prompt and answer are needed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"{where}: {name} holds half a character, it is not text") from error
    return text


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
