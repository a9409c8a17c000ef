"""`interp ability export`: weights as an adapter."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import HashCache
from interp.cli.options import Json, Out, Overwrite, Seed, print_json


class Format(StrEnum):
    """Kinds of adapter that other tools load."""

    lora = "lora"


def export(
    weights: Annotated[Path, typer.Argument(help="Ability weights.")],
    out: Out,
    rank: Annotated[int, typer.Option("--rank", help="Rank of every matrix.")] = 16,
    format: Annotated[Format, typer.Option("--format", help="A PEFT LoRA adapter.")] = Format.lora,
    base: Annotated[
        str | None, typer.Option("--base", help="The model that the weights were extracted from.")
    ] = None,
    modules_to_save: Annotated[
        bool,
        typer.Option("--modules-to-save", help="Hold norms, biases and embeddings whole."),
    ] = False,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Drop what an adapter cannot hold, and list it.")
    ] = False,
    seed: Seed = 0,
    hash_cache: HashCache = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write ability weights as a low-rank adapter that PEFT loads, with its approximation error.

    Example: interp ability export weights --rank 16 --leave-out --out adapter
    """
    from interp.abilities.adapters.export import export as export_weights

    assert format is Format.lora, "the only one there is"
    made = export_weights(
        weights,
        out,
        rank=rank,
        base=base,
        modules_to_save=modules_to_save,
        leave_out=leave_out,
        seed=seed,
        overwrite=overwrite,
        hash_cache=hash_cache,
    )
    if made.warning:
        print(f"warning: {made.warning}", file=sys.stderr)
    if json:
        print_json({"path": str(out), **made.to_json()})
        return
    print(
        f"{out}: rank {made.rank} in {len(made.tensors)} matrices, error {made.error:.4f} of the "
        f"weights' norm (a flat spectrum: {made.flat_error:.4f})"
    )
    print(f"held whole: {len(made.saved)} tensors, left out: {len(made.left_out)}")
