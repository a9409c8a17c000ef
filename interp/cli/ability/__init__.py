"""`interp ability`: one file a verb. A module's public function of its own name is the command."""

from importlib import import_module
from typing import Any

import typer

VERBS = (
    "plan",
    "maet",
    "locate",
    "languages",
    "train",
    "influence",
    "extract",
    "transfer",
    "merge",
    "undo",
    "export",
    "inspect",
    "overlap",
    "verify",
    "align",
    "rewriter",
    "reward",
    "reinforce",
    "evaluate",
    "side_effects",
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def ability() -> None:
    """Find the weights of an ability, move them to another model, and see what that did."""


def _command(verb: str) -> Any:
    return getattr(import_module(f"{__name__}.{verb}"), verb)


for _verb in VERBS:
    app.command(_verb.replace("_", "-"))(_command(_verb))
