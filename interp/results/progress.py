"""Progress on standard error: a bar on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(task: str, *, total: int, unit: str) -> Iterator[Callable[..., None]]:
    """Yield `advance(n=1, **shown)`; `shown` values (a loss, tokens/s) stand beside the bar.

    On a terminal it is a rich bar with ETA; elsewhere a line every ten seconds and one at the end.
    """
    if sys.stderr.isatty():
        with _bar(task, total, unit) as advance:
            yield advance
    else:
        with _lines(task, total, unit) as advance:
            yield advance


def _shown(values: dict[str, object]) -> str:
    return "  ".join(f"{name} {value}" for name, value in values.items())


@contextmanager
def _bar(task: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(task, total=total, unit=unit, shown="")

        def advance(n: int = 1, **shown: object) -> None:
            bars.update(bar, advance=n, shown=_shown(shown))

        yield advance


@contextmanager
def _lines(task: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    start = last = time.monotonic()
    done = 0
    latest: dict[str, object] = {}

    def report(now: float) -> None:
        rate = done / max(now - start, 1e-9)
        line = f"{task}: {done:,}/{total:,} {unit}, {now - start:.1f} s, {rate:,.0f} {unit}/s"
        print(f"{line}  {_shown(latest)}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    def advance(n: int = 1, **shown: object) -> None:
        nonlocal done, last
        done += n
        latest.update(shown)
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            report(now)

    yield advance
    report(time.monotonic())
