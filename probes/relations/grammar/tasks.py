"""The label tasks that `interp heads icl` asks: categories of words, and the label of each pair."""

from itertools import product
from pathlib import Path
from typing import Any

from interp.results.atomic import write_json
from probes.relations.grammar.words import CATEGORIES, VERDICTS

SCHEMA = "interp.icl-tasks/1"
_PAIR, _OTHER_PAIR, _THREE = (
    ("fruit", "month"),
    ("furniture", "person"),
    ("fruit", "animal", "month"),
)


def icl_tasks() -> dict[str, Any]:
    """Two binary tasks, one of four classes, one of nine and two justifications, as arXiv
    2402.13055 section 4.1 has them, in the words of the grammar model.

    A justification is a pair of categories that is true where the other five pairs of three
    categories are false.
    """
    return {
        "schema": SCHEMA,
        "line": "{first} , {second} : {label}",
        "separator": "\n",
        "start": "",
        "categories": {name: list(words) for name, words in CATEGORIES.items()},
        "tasks": [
            _task("fruit and month", "binary", _binary(*_PAIR)),
            _task("furniture and person", "binary", _binary(*_OTHER_PAIR)),
            _task("four classes", "four", _numbered(_PAIR)),
            _task("nine classes", "nine", _numbered(_THREE)),
            _task("animal, person", "justification", _justified("animal", "person", "month")),
            _task("month, fruit", "justification", _justified("month", "fruit", "furniture")),
        ],
    }


def write_tasks(path: Path) -> None:
    """Write `icl_tasks` as JSON."""
    write_json(path, icl_tasks())


def _task(name: str, kind: str, rules: list[list[str]]) -> dict[str, Any]:
    return {"name": name, "kind": kind, "rules": rules}


def _binary(one: str, other: str) -> list[list[str]]:
    return [[one, other, "0"], [other, one, "1"]]


def _numbered(categories: tuple[str, ...]) -> list[list[str]]:
    pairs = product(categories, repeat=2)
    return [[one, other, str(i)] for i, (one, other) in enumerate(pairs)]


def _justified(*categories: str) -> list[list[str]]:
    true = categories[:2]
    pairs = [pair for pair in product(categories, repeat=2) if pair[0] != pair[1]]
    return [[*pair, VERDICTS[pair != true]] for pair in pairs]
