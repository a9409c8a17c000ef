"""`interp dictionary export`: dictionaries for other tools."""

from typing import Annotated

import typer

from interp.cli.dictionary.info import SaeId
from interp.cli.options import Json, Out, Overwrite, print_json


def export(
    dictionaries: Annotated[
        list[str],
        typer.Argument(help="A dictionary; for circuit_tracer one a layer, or their directory."),
    ],
    out: Out,
    format: Annotated[
        str,
        typer.Option("--format", help="dictionary_learning, sparsify, circuit_tracer, sae_lens."),
    ],
    sae_id: SaeId = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a dictionary as another tool reads it; what its format cannot say is refused.

    Example: interp dictionary export dictionary --format dictionary_learning --out trainer_0

    All layers of a set: interp dictionary export transcoders-here --format circuit_tracer
    --out transcoders
    """
    from interp.dictionaries.exchange.exporting import export_named

    written = export_named(dictionaries, out, format=format, sae_id=sae_id, overwrite=overwrite)
    if json:
        print_json({"out": str(written), "format": format})
    else:
        print(f"{written}: {format}, from {', '.join(dictionaries)}")
