"""`interp ability transfer`: weights into a model."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import (
    Base,
    Cast,
    HashCache,
    PresetName,
    PresetOption,
    SkipEmbeddings,
    WrittenFormat,
)
from interp.cli.options import Json, Out, Overwrite, Seed, print_json
from interp.results.errors import BadInput


class Select(StrEnum):
    """Which tensors an ability goes into, by likeness to the language weights."""

    least = "least"
    most = "most"
    random = "random"
    none = "none"


class SimSupport(StrEnum):
    """Where likeness is measured."""

    mask = "mask"
    all = "all"


class Undo(StrEnum):
    """What the output keeps for `interp ability undo`."""

    auto = "auto"
    full = "full"
    base = "base"


def transfer(
    base: Base,
    weights: Annotated[list[Path], typer.Argument(help="Ability weights, one or several.")],
    out: Out,
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help="The base adapted to a language; may be repeated."),
    ] = None,
    mu: Annotated[
        list[float] | None, typer.Option("--mu", help="Of every language, in order; 1 each.")
    ] = None,
    gamma: Annotated[
        list[float] | None, typer.Option("--gamma", help="Of every ability, in order; 1 each.")
    ] = None,
    eta: Annotated[float, typer.Option("--eta", help="Of the language weights.")] = 1.0,
    eta_rest: Annotated[
        float | None, typer.Option("--eta-rest", help="The same where no ability is added.")
    ] = None,
    k2: Annotated[
        float | None,
        typer.Option("--k2", help="Share of tensors to select; the preset's if left out."),
    ] = None,
    select: Annotated[
        Select, typer.Option("--select", help="By likeness to the language weights.")
    ] = Select.least,
    sim_support: Annotated[
        SimSupport, typer.Option("--sim-support", help="Likeness on the mask, or everywhere.")
    ] = SimSupport.mask,
    sim_absolute: Annotated[
        bool, typer.Option("--sim-absolute", help="Rank by the size of the cosine.")
    ] = False,
    types: Annotated[
        str | None,
        typer.Option("--types", help="Only tensors of these types, as q,k,v,o,gate,up,down,norm."),
    ] = None,
    preset: PresetOption = PresetName.maet,
    dtype: WrittenFormat = None,
    cast: Cast = False,
    skip_embeddings: SkipEmbeddings = False,
    saturate: Annotated[
        bool, typer.Option("--saturate", help="Clamp sums too large for the number format.")
    ] = False,
    undo: Annotated[
        Undo,
        typer.Option("--undo", help="Keep the changed bits, name the base, or as changes are few."),
    ] = Undo.auto,
    force: Annotated[
        bool, typer.Option("--force", help="Add weights to a model they do not belong to.")
    ] = False,
    hash_cache: HashCache = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Add abilities and languages to a base and write the model that results.

    Example: interp ability transfer polyglot weights --language polyglot/language --out merged
    """
    from interp.abilities.moving.recipe import PRESETS
    from interp.abilities.moving.transfer import transfer as transfer_weights

    if k2 is not None and k2 < 1 and not language:
        raise BadInput("--k2 selects by likeness to the language weights: give --language")
    made = transfer_weights(
        base,
        list(weights),
        out,
        language=language or (),
        mu=mu or 1.0,
        gamma=gamma or 1.0,
        eta=eta,
        eta_rest=eta_rest,
        k2=PRESETS[preset.value].k2 if k2 is None else k2,
        select=select.value,
        sim_support=sim_support.value,
        sim_absolute=sim_absolute,
        types=None if types is None else [one.strip() for one in types.split(",")],
        seed=seed,
        dtype=None if dtype is None else dtype.value,
        force=force,
        cast=cast,
        skip_embeddings=skip_embeddings,
        saturate=saturate,
        undo=undo.value,
        hash_cache=hash_cache,
        overwrite=overwrite,
    )
    if json:
        print_json(made.to_json())
        return
    print(f"{out}: {made.changed:,} of {made.n:,} entries changed ({made.share_changed:.4f})")
    for number, names in enumerate(made.selected):
        print(f"ability {number + 1}: added in {len(names)} tensors of {made.with_weights[number]}")
        null = made.null[number]
        if null is not None:
            print(
                f"  mean cosine {null.mean:.3f}; of random tensors matched for size "
                f"{null.null_mean:.3f} ({null.null_interval[0]:.3f} to {null.null_interval[1]:.3f})"
            )
    if made.rows_left:
        print(f"{made.rows_left:,} token rows left as they are: padding, or unknown to a side")
    if made.saturated:
        print(f"{made.saturated:,} sums put at the end of the number format's range")
    if made.undo == "full":
        print(f"undo: the changed bits are kept inside ({made.undo_bytes:,} bytes)")
    else:
        print(f"undo: by a copy of the base {base}, whose root hash is kept")
