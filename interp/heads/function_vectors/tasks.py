"""Task: pairs of an input and its output, from which few-shot prompts are made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from interp.results.errors import BadInput
from interp.results.hashing import sha256_json


class Pair(NamedTuple):
    """One input and what the task makes of it."""

    input: str
    output: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A function given by its pairs: antonyms, capitals, the next letter."""

    name: str
    pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        inputs = [pair.input for pair in self.pairs]
        twice = next((word for i, word in enumerate(inputs) if word in inputs[:i]), None)
        if twice is not None:
            raise BadInput(
                f"task {self.name!r} has the input {twice!r} twice: a task is a function"
            )


def read_tasks(path: Path) -> tuple[Task, ...]:
    """The tasks of a jsonl file, one pair a line: `{"task": ..., "input": ..., "output": ...}`.

    A line without a task belongs to one named after the file. Raises BadInput naming the line that
    is not such a pair, or that gives an input of its task again.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with task, input and output a line")
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}, line {number}"
                row = {"task": path.stem} | _object(line, where)
                task, word, output = (
                    _text(row, name, where) for name in ("task", "input", "output")
                )
                pairs = found.setdefault(task, {})
                if word in pairs:
                    raise BadInput(f"{where}: task {task!r} has the input {word!r} already")
                pairs[word] = output
    if not found:
        raise BadInput(f"{path} holds no pair: expected task, input and output a line")
    return tuple(
        Task(name=name, pairs=tuple(Pair(*pair) for pair in pairs.items()))
        for name, pairs in found.items()
    )


def write_tasks(path: Path, tasks: Sequence[Task]) -> None:
    """Write tasks as `read_tasks` reads them."""
    rows = ({"task": task.name, **pair._asdict()} for task in tasks for pair in task.pairs)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def tasks_hash(tasks: Sequence[Task]) -> str:
    """SHA-256 of the tasks' names and pairs, in order."""
    return sha256_json([[task.name, [list(pair) for pair in task.pairs]] for task in tasks])


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where} is not a JSON object")
    return row


def _text(row: dict[str, Any], name: str, where: str) -> str:
    text = row.get(name)
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f"{where} lacks the text field {name!r}: input and output are needed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"{where}: {name} holds half a character, it is not text") from error
    return text
