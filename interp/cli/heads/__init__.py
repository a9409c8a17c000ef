"""`interp heads`: one file a verb. A module's public function is the command."""

from importlib import import_module

import typer

VERBS: tuple[str, ...] = (
    "list",
    "score",
    "relations",
    "ablate",
    "icl",
    "emergence",
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def heads() -> None:
    """Score what every attention head does, find semantic induction heads, and test their cause."""


for _verb in VERBS:
    app.command(_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))
