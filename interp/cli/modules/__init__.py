"""`interp modules`: one file a verb. A module's public function is the command."""

from importlib import import_module

import typer

VERBS: tuple[str, ...] = (
    "partition",
    "routing",
    "experts",
    "perturb",
    "native",
    "emergence",
    "layers",
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def modules() -> None:
    """Partition neurons into experts, test what the experts are for, and follow them in time."""


for _verb in VERBS:
    app.command(_verb)(getattr(import_module(f"{__name__}.{_verb}"), _verb))
