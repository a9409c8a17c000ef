"""The run as it is seen on standard error: a live table on a terminal, plain lines in a pipe."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from interp.results.progress import progress

_SHOWN = ("loss", "l0", "explained_variance", "n_dead", "lr")


@runtime_checkable
class View(Protocol):
    """Shows how far a run is."""

    def __call__(self, n_rows: int, said: Mapping[str, Mapping[str, Any]]) -> None:
        """Count the rows of a step; `said` by dictionary is empty between the logged steps."""
        ...


@contextmanager
def training_view(total: int, done: int, *, shown: bool) -> Iterator[View]:
    """Yield a view of a run over `total` rows, `done` of them before it was resumed.

    Without `shown`, as on all ranks but the first, it says nothing.
    """
    if not shown:
        yield _say_nothing
        return
    with _table(total, done) if sys.stderr.isatty() else _lines(total, done) as view:
        yield view


def _say_nothing(n_rows: int, said: Mapping[str, Mapping[str, Any]]) -> None:
    del n_rows, said


def note(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _lines(total: int, done: int) -> Iterator[View]:
    # Only what is left, so that the rate is that of this start.
    task = f"training after {done:,}" if done else "training"
    with progress(task, total=total - done, unit="tokens") as advance:

        def view(n_rows: int, said: Mapping[str, Mapping[str, Any]]) -> None:
            first = next(iter(said.values()), {})
            shown = {name: f"{first[name]:.4g}" for name in _SHOWN if name in first}
            advance(n_rows, **shown)

        yield view


@contextmanager
def _table(total: int, done: int) -> Iterator[View]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bars = Progress(
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} tokens", markup=False),
        TextColumn("{task.fields[rate]:,.0f}/s", markup=False),
        TimeRemainingColumn(),
    )
    bar = bars.add_task("training", total=total, completed=done, rate=0.0)
    with Live(Group(bars), console=Console(stderr=True), refresh_per_second=4) as live:
        yield _Table(bars, bar, live.update)


class _Table:
    def __init__(self, bars: Any, bar: Any, show: Callable[[Any], None]) -> None:
        self._bars, self._bar, self._show = bars, bar, show

    def __call__(self, n_rows: int, said: Mapping[str, Mapping[str, Any]]) -> None:
        from rich.console import Group

        rate = self._bars.tasks[0].speed or 0.0
        self._bars.update(self._bar, advance=n_rows, rate=rate)
        if said:
            self._show(Group(self._bars, _rich_table(said)))


def _rich_table(said: Mapping[str, Mapping[str, Any]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("dictionary", *(name.replace("_", " ") for name in _SHOWN), box=None)
    for name, values in said.items():
        table.add_row(Text(name), *(f"{values[key]:.4g}" for key in _SHOWN))
    return table
