"""Tasks that can only be done by reading the demonstrations: pairs of words with a label by rule.

A line reads `apple, January: 0`; which label which pair of categories has is the pattern, and it is
nowhere but in the lines before. A tasks file is JSON:

    {"line": "{first}, {second}: {label}", "separator": "\\n", "start": "",
     "categories": {"fruit": ["apple", ...], "month": ["January", ...]},
     "pairs": {"part_whole": [["leaf", "tree"], ...]},
     "tasks": [{"name": "binary", "kind": "binary",
                "rules": [["fruit", "month", "0"], ["month", "fruit", "1"]]},
               {"name": "parts", "kind": "justification",
                "rules": [["part_whole", "true"], ["fruit", "month", "false"]]}]}

A rule is the category of the first word, that of the second, and the label; or a list of pairs
and the label.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from interp.heads.icl.words import english
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

SCHEMA = "interp.icl-tasks/1"
_FIELDS = ("first", "second", "label")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which pairs have a label: all of two categories, or those of a list."""

    first: str
    """A category; of a list of pairs its name."""
    second: str | None
    """None for a list of pairs."""
    label: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """A name, its kind (`binary`, `four`, `nine`, `justification` or another word), its rules."""

    name: str
    kind: str
    rules: tuple[Rule, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label once, in the order of the rules."""
        return tuple(dict.fromkeys(rule.label for rule in self.rules))

    @property
    def in_numbers(self) -> bool:
        """Whether every label is a number, so that any number is in the format."""
        return all(label.isascii() and label.isdigit() for label in self.labels)


@dataclass(frozen=True, kw_only=True)
class LineForm:
    """How a pair and its label are written, and what stands between lines."""

    line: str
    separator: str
    start: str

    def question(self, first: str, second: str) -> str:
        """A line cut before the label, without the blank that belongs to the label's token."""
        return self.line[: self._cut()].format(first=first, second=second).rstrip(" ")

    def answer(self, label: str) -> str:
        """The label as it goes on from `question`, its blank in front."""
        before = self.line[: self._cut()]
        return before[len(before.rstrip(" ")) :] + label

    def demonstration(self, first: str, second: str, label: str) -> str:
        """A whole line."""
        rest = self.line[self._cut() + len("{label}") :].replace("{{", "{").replace("}}", "}")
        return self.question(first, second) + self.answer(label) + rest

    def _cut(self) -> int:
        return self.line.index("{label}")


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Tasks with their words and their line form, as they stand in a file."""

    form: LineForm
    categories: dict[str, tuple[str, ...]]
    pairs: dict[str, tuple[tuple[str, str], ...]]
    tasks: tuple[Task, ...]

    @property
    def hash(self) -> str:
        """Of all that decides a prompt, but the seed."""
        return sha256_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As a tasks file."""
        return {
            "schema": SCHEMA,
            "line": self.form.line,
            "separator": self.form.separator,
            "start": self.form.start,
            "categories": {name: list(words) for name, words in self.categories.items()},
            "pairs": {name: [list(pair) for pair in pairs] for name, pairs in self.pairs.items()},
            "tasks": [
                {"name": task.name, "kind": task.kind, "rules": [_written(r) for r in task.rules]}
                for task in self.tasks
            ],
        }


def open_tasks(source: "Tasks | Path | str | dict[str, Any] | None" = None) -> Tasks:
    """Tasks of a file, of its content, or the English ones when nothing is given.

    Raises BadInput naming the task, category or rule that is not as it must be.
    """
    if isinstance(source, Tasks):
        return source
    if source is None:
        return _parse(english(), "the English tasks")
    if isinstance(source, dict):
        return _parse(source, "the tasks")
    path = Path(source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}): expected a tasks file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON ({error}): expected a tasks file") from error
    return _parse(content, str(path))


def _parse(content: Any, where: str) -> Tasks:
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list):
        raise BadInput(f"{where} has no list of tasks: expected line, categories and tasks")
    if content.get("schema", SCHEMA) != SCHEMA:
        raise BadInput(f"{where} is {content['schema']!r}, expected {SCHEMA!r}")
    categories = {
        name: tuple(dict.fromkeys(_texts(words, f"{where}: category {name!r}")))
        for name, words in _mapping(content, "categories", where).items()
    }
    pairs = {
        name: tuple(_pairs(entries, f"{where}: pairs {name!r}"))
        for name, entries in _mapping(content, "pairs", where).items()
    }
    if both := sorted(set(categories) & set(pairs)):
        raise BadInput(f"{where}: {both[0]!r} is a category and a list of pairs: rename one")
    tasks = tuple(
        _task(entry, categories, pairs, f"{where}: task {number}")
        for number, entry in enumerate(content["tasks"], start=1)
    )
    names = [task.name for task in tasks]
    if not tasks or len(set(names)) < len(names):
        raise BadInput(f"{where} needs tasks with names of their own, got {', '.join(names)}")
    return Tasks(form=_form(content, where), categories=categories, pairs=pairs, tasks=tasks)


def _form(content: dict[str, Any], where: str) -> LineForm:
    line = content.get("line", "{first}, {second}: {label}")
    separator, start = content.get("separator", "\n"), content.get("start", "")
    if not all(isinstance(text, str) for text in (line, separator, start)):
        raise BadInput(f"{where}: line, separator and start are texts")
    try:
        fields = [field for _, field, spec, how in Formatter().parse(line)
                  if field is not None and not spec and not how]  # fmt: skip
    except ValueError as error:
        raise BadInput(f"{where}: line {line!r} is no line form ({error})") from error
    after = line[line.find("{label}") + 1 :]
    if sorted(fields) != sorted(_FIELDS) or "{first}" in after or "{second}" in after:
        raise BadInput(
            f"{where}: line {line!r} needs {{first}} and {{second}}, and {{label}} after them, once"
        )
    return LineForm(line=line, separator=separator, start=start)


def _task(entry: Any, categories: dict[str, Any], pairs: dict[str, Any], where: str) -> Task:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name or not isinstance(entry.get("rules"), list):
        raise BadInput(f"{where} needs a name and a list of rules")
    rules = tuple(_rule(rule, categories, pairs, f"{where} ({name})") for rule in entry["rules"])
    task = Task(name=name, kind=str(entry.get("kind", name)), rules=rules)
    if len(task.labels) < 2:
        raise BadInput(
            f"{where} ({name}) has {len(task.labels)} labels: a pattern needs at least 2"
        )
    return task


def _rule(rule: Any, categories: dict[str, Any], pairs: dict[str, Any], where: str) -> Rule:
    parts = _texts(rule, f"{where}, a rule")
    known = (
        parts[0] in pairs
        if len(parts) == 2
        else len(parts) == 3 and all(part in categories for part in parts[:2])
    )
    if not known or not parts[-1]:
        raise BadInput(
            f"{where}: the rule {parts} is neither [category, category, label] nor [pairs, label] "
            f"of what there is: {', '.join([*categories, *pairs])}"
        )
    second = parts[1] if len(parts) == 3 else None
    return Rule(first=parts[0], second=second, label=parts[-1])


def _mapping(content: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise BadInput(f"{where}: {name} must be an object of names and lists")
    return found


def _pairs(entries: Any, where: str) -> list[tuple[str, str]]:
    if not isinstance(entries, list) or not all(
        isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries
    ):
        raise BadInput(f"{where} must be a list of two words each")
    texts = (_texts(entry, where) for entry in entries)
    return list(dict.fromkeys((first, second) for first, second in texts))


def _texts(entries: Any, where: str) -> list[str]:
    if not isinstance(entries, list | tuple) or not all(isinstance(e, str) and e for e in entries):
        raise BadInput(f"{where} must be a list of texts")
    return list(entries)


def _written(rule: Rule) -> list[str]:
    return [part for part in (rule.first, rule.second, rule.label) if part is not None]
