"""What an analysis of many forward passes will cost, said before it starts."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

Say = Callable[[str], None]


class Part(NamedTuple):
    """Forward passes of one kind, and how long one of them took."""

    what: str
    n: int
    seconds_each: float


def timed(pass_once: Callable[[], object]) -> float:
    """Seconds of one forward pass; the first, which also allocates, is not looked at."""
    pass_once()
    start = time.perf_counter()
    pass_once()
    return time.perf_counter() - start


def stated(name: str, parts: Sequence[Part]) -> str:
    """`NAME: 2,100 prompts and 75,600 single tokens, about 3 min`, from the parts."""
    counts = " and ".join(f"{part.n:,} {part.what}" for part in parts)
    return f"{name}: {counts}, about {_duration(sum(part.n * part.seconds_each for part in parts))}"


def to_standard_error(line: str) -> None:
    """Print a line where it does not mix with results."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 0.1):.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
