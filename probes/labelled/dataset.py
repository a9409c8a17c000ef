"""DataSet: a data set by name, what it asks, and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from probes.labelled.leak import Leak


class Written(NamedTuple):
    """What is in a file."""

    n_lines: int
    counts: dict[str, int]
    """Lines by function, sub-function and label; words by class where words have classes."""
    leaks: tuple[Leak, ...]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What a person chooses from, and the function that writes it."""

    name: str
    kind: str
    functions: tuple[str, ...]
    """Sub-functions or classes that it has labels of; none where it is plain text or questions."""
    question: str
    source: str
    file: str | None
    """What it can read of the user's, in words."""
    n: int | None
    """How many there are unless told; None where the number is fixed."""
    unit: str
    """What is counted by `n`."""
    n_lines: Callable[[], int | None]
    """Lines that the default makes; None where the user's file decides."""
    write: Callable[[Path, int, int, Path | None], Written]
    """To a path, of seed, n and the user's file; the same give the same bytes."""
    suffix: str = ".jsonl"
    """How the file is read: the ending of its name."""
