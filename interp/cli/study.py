"""`interp study`: what a study holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, print_json
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.results.study import Study

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def study() -> None:
    """What a study holds."""


@app.command()
def info(
    directory: Annotated[Path, typer.Argument(help="A study's directory.")], json: Json = False
) -> None:
    """List the findings of a study and what made it.

    Example: interp study info demo-study
    """
    from interp.results.study import Study

    found = Study.open(directory)
    if json:
        print_json(_content(found))
        return
    print(f"{visible(found.title)}  ({found.path})")
    print(f"made by: {visible(found.provenance.command)}")
    for entry in found.entries():
        present = "" if entry.path.is_dir() else "  (missing)"
        print(f"  {entry.kind:<11} {entry.id:<28} {visible(entry.title)}{present}")


@app.command()
def add(
    directory: Annotated[Path, typer.Argument(help="A study's directory; made if missing.")],
    finding: Annotated[Path, typer.Argument(help="A store, mask, ability, comparison or model.")],
    id: Annotated[str | None, typer.Option("--id", help="Its name; the directory's own.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="What the pages call it.")] = None,
    json: Json = False,
) -> None:
    """Copy a finding into a study, so that the explorer shows it.

    Example: interp study add demo-study comparison --title "My transfer"
    """
    from interp.results.collect import add_finding

    found = add_finding(directory, finding, id=id, title=title)
    if json:
        print_json(_content(found))
        return
    entry = found.entries()[-1]
    print(f"{entry.kind} {entry.id} is in {found.path}: interp explore {visible(str(directory))}")


def _content(found: "Study") -> dict[str, Any]:
    return {
        "title": found.title,
        "path": str(found.path),
        "provenance": found.provenance.to_json(),
        "entries": [
            {
                "id": entry.id,
                "kind": entry.kind,
                "title": entry.title,
                "path": str(entry.path),
                "present": entry.path.is_dir(),
            }
            for entry in found.entries()
        ],
    }
