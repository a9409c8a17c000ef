"""A table on standard output: fitted to a terminal, every line whole in a pipe."""

import sys
from collections.abc import Sequence

from interp.cli.options import say
from interp.results.escape import visible
from interp.results.tables import columns_aligned


def show_table(
    heading: Sequence[str], lines: Sequence[Sequence[str]], *, n_left: int = 1, title: str = ""
) -> None:
    """Print it; the first `n_left` columns stand to the left, the others to the right."""
    if not sys.stdout.isatty():
        # In a pipe there is no width to fit.
        say("\n".join([*([title] if title else []), columns_aligned([heading, *lines])]))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False,
                  padding=(0, 2, 0, 0))  # fmt: skip
    for index, name in enumerate(heading):
        left = index < n_left
        table.add_column(Text(name), justify="left" if left else "right", no_wrap=index == 0)
    for line in lines:
        table.add_row(*(Text(visible(cell, limit=len(cell))) for cell in line))
    Console().print(table)
