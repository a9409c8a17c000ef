"""`interp dictionary import`: dictionaries of other tools."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.options import Json, Out, Overwrite, print_json


def import_(
    path: Annotated[
        Path, typer.Argument(help="A directory that another tool wrote, or one that holds several.")
    ],
    out: Out,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, dictionary_learning, sparsify, circuit_tracer or sae_lens.",
        ),
    ] = "auto",
    site: Annotated[str | None, typer.Option("--site", help="The hook that it reads.")] = None,
    site_out: Annotated[
        str | None, typer.Option("--site-out", help="The hook that a transcoder reconstructs.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model it is of.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Read a dictionary of another tool; its card says where it came from.

    Example: interp dictionary import trainer_0 --out dictionary --site blocks.3.hook_resid_post

    A circuit-tracer set becomes a directory a layer: interp dictionary import transcoders
    --out transcoders-here
    """
    from interp.dictionaries.exchange.importing import import_dictionary
    from interp.dictionaries.files import read_card

    written = import_dictionary(
        path,
        out,
        format=format,
        site=site,
        site_out=site_out,
        model=model,
        overwrite=overwrite,
    )
    if json:
        print_json({"dictionaries": [str(place) for place in written]})
        return
    for place in written:
        card = read_card(place)
        known = f"of {card.site}" if card.site else "of no known site: import it with --site"
        print(f"{place}: {card.architecture}, {card.d_in} -> {card.d_sae:,}, {known}")
