"""Options that every command shares, and how a command prints its result."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from interp.results.escape import visible

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random in this command.")]
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
