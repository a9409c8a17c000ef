"""`interp store`: look at recorded activations, and check them."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.options import Json, print_json

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look at recorded activations, check them."
)

Store = Annotated[Path, typer.Argument(help="A directory that `interp capture` made.")]


@app.command()
def info(store: Store, json: Json = False) -> None:
    """Say what a store holds: rows, sites, what is missing and why, what made it.

    Example: interp store info store
    """
    from interp.capture.store import ActivationStore
    from interp.capture.summary import describe, summary

    opened = ActivationStore.open(store)
    if json:
        print_json(summary(opened))
    else:
        print(describe(opened))


@app.command()
def verify(store: Store, json: Json = False) -> None:
    """Read every byte of a store and compare it with its checksums; exit 2 if one differs.

    Example: interp store verify store
    """
    from interp.capture.store import ActivationStore
    from interp.results.errors import CorruptFile

    opened = ActivationStore.open(store)
    problems = dict(opened.problems())
    if json:
        print_json(
            {"store": str(store), "shards": len(opened.manifest.shards), "problems": problems}
        )
    if problems:
        more = f" ({len(problems) - 1} more files are damaged)" if len(problems) > 1 else ""
        raise CorruptFile(f"{next(iter(problems.values()))}{more}")
    if not json:
        print(
            f"{store}: {len(opened.manifest.shards)} shards, {opened.n_rows:,} rows, as committed"
        )
