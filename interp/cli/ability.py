"""`interp ability extract`, `transfer` and `inspect`: what streams weights and loads no model."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli import ability_learning
from interp.cli.options import Json, Out, Overwrite, Seed, print_json
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.abilities.inspection import Count

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class PresetName(StrEnum):
    """maet: beta 0.25, k2 0.8. plain: two-vector addition, beta 0, k2 1, no mask."""

    maet = "maet"
    plain = "plain"


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


class DType(StrEnum):
    """Number formats to write."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


Base = Annotated[str, typer.Argument(help="Base model: bundled name, directory or hub id.")]
PresetOption = Annotated[
    PresetName, typer.Option("--preset", help="Defaults that belong together.")
]
Cast = Annotated[bool, typer.Option("--cast", help="Allow models in different number formats.")]
HashCache = Annotated[
    Path | None,
    typer.Option("--hash-cache", help="File of hashes kept between commands, by path and time."),
]


@app.callback()
def ability() -> None:
    """Locate, train, extract, transfer, inspect and verify abilities."""


@app.command()
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
    """
    from interp.abilities.extract import extract as extract_weights
    from interp.abilities.recipe import PRESETS
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


@app.command()
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
    preset: PresetOption = PresetName.maet,
    dtype: Annotated[
        DType | None, typer.Option("--dtype", help="Number format of the output; as the base.")
    ] = None,
    cast: Cast = False,
    skip_embeddings: Annotated[
        bool, typer.Option("--skip-embeddings", help="Leave tables of tokens as in the base.")
    ] = False,
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
    from interp.abilities.recipe import PRESETS
    from interp.abilities.transfer import transfer as transfer_weights

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
        seed=seed,
        dtype=None if dtype is None else dtype.value,
        force=force,
        cast=cast,
        skip_embeddings=skip_embeddings,
        hash_cache=hash_cache,
        overwrite=overwrite,
    )
    if json:
        print_json(made.to_json())
        return
    print(f"{out}: {made.changed:,} of {made.n:,} entries changed ({made.share_changed:.4f})")
    for number, names in enumerate(made.selected):
        print(f"ability {number + 1}: added in {len(names)} tensors of {made.with_weights[number]}")


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="A mask, ability weights or a transferred model.")],
    json: Json = False,
) -> None:
    """Show what a mask, ability weights or a transferred model hold, after checking their hashes.

    Example: interp ability inspect weights
    """
    from interp.abilities.inspection import Summary, inspect_finding

    found = inspect_finding(path)
    if not isinstance(found, Summary):
        content = {"kind": "model", "root": found.root, "ancestors": list(found.ancestors)}
        shown: dict[str, Any] = content | {"recipe": found.recipe}
        if json:
            print_json(shown)
        else:
            _say("\n".join(f"{key}: {value}" for key, value in shown.items()))
        return
    if json:
        print_json(found.to_json())
        return
    _say(f"{found.kind} of {found.base.root[:12]}: {_count_text(found.total)}")
    for title, groups in (("tensor", found.by_type), ("layer", found.by_layer)):
        width = max([len(name) for name in groups], default=0)
        _say(f"by {title}")
        for name, count in groups.items():
            _say(f"  {name:<{width}}  {_count_text(count)}")


def _say(text: str) -> None:
    """Print lines that hold names from files, which must not steer the terminal."""
    for line in text.split("\n"):
        print(visible(line, limit=len(line)))


def _count_text(count: "Count") -> str:
    norm = "" if count.norm is None else f", norm {count.norm:.4g}"
    return f"{count.count:,} of {count.entries:,} ({count.share:.4f}){norm}"


ability_learning.register(app)
