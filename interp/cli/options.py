"""Options that every command shares, and how a command prints its result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from interp.results.errors import BadInput
from interp.results.escape import visible


def at_least(least: int) -> Callable[[Any, Any, Any], Any]:
    """The callback of an option that refuses, in one line, a number below `least`."""

    def checked(_: Any, option: Any, value: Any) -> Any:
        for number in value if isinstance(value, list | tuple) else [value]:
            if number is not None and not number >= least:
                raise BadInput(f"{option.opts[0]} {number}: give at least {least}")
        return value

    return checked


def between(low: float, high: float) -> Callable[[Any, Any, Any], Any]:
    """The callback of an option that refuses, in one line, a number not between two, NaN too."""

    def checked(_: Any, option: Any, value: Any) -> Any:
        if value is not None and not low <= value <= high:
            raise BadInput(f"{option.opts[0]} {value}: give a number from {low:g} to {high:g}")
        return value

    return checked


Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Seed = Annotated[
    int,
    typer.Option("--seed", help="Seed of everything random in this command.", callback=at_least(0)),
]
Out = Annotated[Path, typer.Option("--out", help="Where the result is written.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps.")]


def print_json(result: Any) -> None:
    """Print `result` as JSON on one line, NaN refused."""
    print(json.dumps(result, allow_nan=False))


def say(text: str) -> None:
    """Print lines that hold names from files, which must not steer the terminal."""
    for line in text.split("\n"):
        print(visible(line, limit=len(line)))
