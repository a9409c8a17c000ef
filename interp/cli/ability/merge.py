"""`interp ability merge`: whole models into one, by a published rule."""

from enum import StrEnum
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Cast, HashCache, SkipEmbeddings, WrittenFormat
from interp.cli.options import Json, Out, Overwrite, Seed, print_json
from interp.results.errors import BadInput


class Method(StrEnum):
    """The rules that models are merged by."""

    task_arithmetic = "task_arithmetic"
    ties = "ties"
    dare_linear = "dare_linear"
    dare_ties = "dare_ties"
    linear = "linear"
    slerp = "slerp"


class MergePreset(StrEnum):
    """exact: sums in float32, rounded once. mergekit: as mergekit 0.1.5. paper: as the papers."""

    exact = "exact"
    mergekit = "mergekit"
    paper = "paper"


class Scope(StrEnum):
    """What TIES trims to its density."""

    tensor = "tensor"
    model = "model"


class Zero(StrEnum):
    """What TIES makes of differences that cancel."""

    none = "none"
    plus = "plus"
    majority = "majority"


class Keep(StrEnum):
    """How many entries TIES keeps of a density."""

    floor = "floor"
    paper = "paper"


class Rescale(StrEnum):
    """What DARE multiplies kept entries by."""

    density = "density"
    l1 = "l1"
    none = "none"


def merge(
    method: Annotated[Method, typer.Argument(help="The rule to merge by.")],
    base: Base,
    models: Annotated[list[str], typer.Argument(help="Models of the base's architecture.")],
    out: Out,
    weights: Annotated[
        str | None, typer.Option("--weights", help="One a model, with commas; 1 each.")
    ] = None,
    density: Annotated[
        str | None,
        typer.Option("--density", help="Share that TIES and DARE keep: one, or one a model."),
    ] = None,
    scale: Annotated[
        float, typer.Option("--lambda", help="Of the sum that is added to the base.")
    ] = 1.0,
    t: Annotated[
        float | None, typer.Option("--t", help="Of slerp: 0 is the base, 1 the model.")
    ] = None,
    preset: Annotated[
        MergePreset, typer.Option("--preset", help="Rounding and rules that belong together.")
    ] = MergePreset.exact,
    normalize: Annotated[
        bool | None,
        typer.Option("--normalize/--no-normalize", help="Divide by the weights; the method's."),
    ] = None,
    scope: Annotated[
        Scope | None, typer.Option("--scope", help="What TIES trims; the preset's.")
    ] = None,
    zero: Annotated[
        Zero | None, typer.Option("--zero", help="The sign TIES gives a sum of 0; the preset's.")
    ] = None,
    keep: Annotated[
        Keep | None, typer.Option("--keep", help="How TIES counts a density; the preset's.")
    ] = None,
    rescale: Annotated[
        Rescale | None, typer.Option("--rescale", help="Of DARE's kept entries; the preset's.")
    ] = None,
    dtype: WrittenFormat = None,
    cast: Cast = False,
    skip_embeddings: SkipEmbeddings = False,
    hash_cache: HashCache = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Merge models into one, by task arithmetic, TIES, DARE, a weighted mean or SLERP.

    Example: interp ability merge ties polyglot polyglot/ability polyglot/language
    --weights 0.6,0.5 --density 0.2 --out merged
    """
    from interp.abilities.merge import MergeRecipe, merge_models

    shares = _numbers("--density", density)
    recipe = MergeRecipe.of(
        method.value,
        n_models=len(models),
        preset=preset.value,
        weights=_numbers("--weights", weights),
        scale=scale,
        normalize=normalize,
        density=shares[0] if shares is not None and len(shares) == 1 else shares,
        scope=None if scope is None else scope.value,
        zero=None if zero is None else zero.value,
        keep=None if keep is None else keep.value,
        rescale=None if rescale is None else rescale.value,
        t=t,
        seed=seed,
    )
    made = merge_models(
        recipe,
        base,
        models,
        out,
        dtype=None if dtype is None else dtype.value,
        cast=cast,
        skip_embeddings=skip_embeddings,
        overwrite=overwrite,
        hash_cache=hash_cache,
    )
    if json:
        print_json(made.to_json())
    else:
        differing = f"{made.changed:,} of {made.n:,} entries differ ({made.share_changed:.4f})"
        print(f"{out}: {method.value} of {len(models)} models; from the base {differing}")


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise BadInput(f"{option} {text!r} are not numbers with commas between them") from error
