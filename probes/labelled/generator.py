"""Generator: one kind of labelled function, as a value that a folder of files registers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.labelled.line import Line


@dataclass(frozen=True, kw_only=True)
class Generator:
    """How the lines of one kind are made."""

    name: str
    kind: str
    """The published kind: semantic, knowledge, task or token class."""
    functions: tuple[str, ...]
    """Sub-functions, or classes of tokens, that `make` writes without a file of the user's."""
    question: str
    """What label 1 says, or what the classes are."""
    source: str
    """Where the kind was published, and what is ours."""
    file: str | None
    """What the file is that it can read, in words; None where it reads none."""
    file_required: bool
    make: Callable[[int, int, Path | None], Sequence[Line]]
    """Of seed, lines for a class of a sub-function at most, and file: the same give the same."""
