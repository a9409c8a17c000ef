"""`interp dictionary`: one file a verb. A module's public function is the command."""

from importlib import import_module
from typing import Any

import typer

VERBS: tuple[str, ...] = (
    "train",
    "evaluate",
    "info",
    "import",
    "export",
    "views",
    "search",
    "show",
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def dictionary() -> None:
    """Learn sparse features from a store, measure them, and see what each of them stands for."""


def _command(verb: str) -> Any:
    # `import` is a word of Python's own, so its module ends in an underscore.
    module = import_module(f"{__name__}.{verb}_" if verb == "import" else f"{__name__}.{verb}")
    return getattr(module, f"{verb}_" if verb == "import" else verb)


for _verb in VERBS:
    app.command(_verb)(_command(_verb))
