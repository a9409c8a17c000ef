"""`interp neurons`: one file a verb. A module's public function is the command."""

from importlib import import_module

import typer

VERBS: tuple[str, ...] = ("score", "sparsity")

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def neurons() -> None:
    """Which function each neuron detects, beside its null, and how sparsely neurons fire."""


for _verb in VERBS:
    app.command(_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))
