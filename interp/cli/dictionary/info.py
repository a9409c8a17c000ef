"""`interp dictionary info`: what a dictionary is."""

from typing import Annotated

import typer

from interp.cli.options import Json, print_json

SaeId = Annotated[
    str | None,
    typer.Option("--sae-id", help="Which dictionary of a sae-lens release or hub repository."),
]


def info(
    dictionary: Annotated[
        str, typer.Argument(help="A directory, a bundled name, a sae-lens release or a hub id.")
    ],
    sae_id: SaeId = None,
    json: Json = False,
) -> None:
    """Say what a dictionary is: architecture, widths, site, model, training, evaluation.

    Example: interp dictionary info polyglot/blocks.2.hook_mlp_out

    From sae-lens's registry: interp dictionary info gpt2-small-res-jb
    --sae-id blocks.8.hook_resid_pre
    """
    from interp.dictionaries.summary import describe, summary

    if json:
        print_json(summary(dictionary, sae_id=sae_id))
    else:
        print(describe(dictionary, sae_id=sae_id))
