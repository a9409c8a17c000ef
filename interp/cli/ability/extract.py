"""`interp ability extract`: weights out of a model."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Cast, HashCache, PresetName, PresetOption
from interp.cli.options import Json, Out, Overwrite, print_json


def extract(
    base: Base,
    trained: Annotated[str, typer.Argument(help="The base trained on the ability.")],
    out: Out,
    general: Annotated[
        str | None, typer.Option("--general", help="The base trained on general data instead.")
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Located entries; without it all are taken.")
    ] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Of ability - base.")] = 1.0,
    beta: Annotated[
        float | None, typer.Option("--beta", help="Of general - base; the preset's if left out.")
    ] = None,
    preset: PresetOption = PresetName.maet,
    cast: Cast = False,
    hash_cache: HashCache = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Take an ability out of a model: M * (alpha (ability - base) - beta (general - base)).

    Example: interp ability extract polyglot polyglot/ability --general polyglot/control
    --mask masks/located --out weights

    A model of `train` is float32, for a base in another format: interp ability extract polyglot
    models/ability --mask masks/located --cast --out weights
    """
    from interp.abilities.moving.extract import extract as extract_weights
    from interp.abilities.moving.recipe import PRESETS
    from interp.results.errors import BadInput

    if preset is PresetName.plain and mask is not None:
        raise BadInput("--preset plain takes all entries: leave out --mask, or the preset")
    default = PRESETS[preset.value].beta if general is not None else 0.0
    weights = extract_weights(
        base,
        trained,
        out,
        general=general,
        mask=mask,
        alpha=alpha,
        beta=default if beta is None else beta,
        cast=cast,
        hash_cache=hash_cache,
        overwrite=overwrite,
    )
    if json:
        counts = {"count": weights.count, "share": weights.share, "n": weights.base.n}
        print_json({"path": str(out), **counts, "recipe": weights.recipe.to_json()})
    else:
        print(
            f"{out}: {weights.count:,} of {weights.base.n:,} entries ({weights.share:.4f}) "
            f"in {len(weights.tensors)} tensors"
        )
