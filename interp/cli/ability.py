"""`interp ability`."""

import typer

from interp.cli import ability_learning

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def ability() -> None:
    """(ability commands.)"""


ability_learning.register(app)
