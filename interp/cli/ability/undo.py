"""`interp ability undo`: the base back."""

from typing import Annotated

import typer

from interp.cli.ability.options import HashCache
from interp.cli.options import Json, Out, Overwrite, print_json


def undo(
    model: Annotated[str, typer.Argument(help="A model that `interp ability transfer` wrote.")],
    out: Out,
    base: Annotated[
        str | None, typer.Option("--base", help="Copy the base from here instead.")
    ] = None,
    hash_cache: HashCache = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write the model that a transfer was made from, bit for bit.

    Example: interp ability undo merged --out before
    """
    from interp.abilities.undoing.undo import undo as undo_transfer

    made = undo_transfer(model, out, base=base, hash_cache=hash_cache, overwrite=overwrite)
    if json:
        print_json(made.to_json())
        return
    source = "from the bits kept in the model" if made.source == "undo" else "copied from the base"
    print(f"{out}: {made.n:,} entries as they were, {made.changed:,} restored ({source})")
    print(f"root {made.root[:12]}, the one that the transfer recorded")
