"""`interp ability align`: prefer some answers to others, in few of a model's entries."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.ability.options import Base
from interp.cli.options import Device, Json, Out, Overwrite, print_json, say
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.abilities.allo.alignment import Alignment
    from interp.abilities.allo.stages import AlloRecipe


class AlignPreset(StrEnum):
    """text: as ALLO's paper reads. released: as its code does."""

    text = "text"
    released = "released"


class Select(StrEnum):
    """Which tokens of a rejected answer learning takes: those that fell most, or least."""

    largest = "largest"
    smallest = "smallest"


class Precision(StrEnum):
    """What forward and backward passes are computed in; weights stay float32."""

    no = "no"
    bf16 = "bf16"


def align(
    base: Base,
    pairs: Annotated[Path, typer.Argument(help="jsonl with prompt, chosen and rejected.")],
    out: Out,
    preset: Annotated[
        AlignPreset, typer.Option("--preset", help="Defaults that belong together.")
    ] = AlignPreset.text,
    stages: Annotated[
        str | None,
        typer.Option("--stages", help="warmup,forget,learn (all three by default) or dpo."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Move only these entries; then no warmup.")
    ] = None,
    share_forget: Annotated[
        float | None, typer.Option("--share-forget", help="Share of the entries to forget in.")
    ] = None,
    share_learn: Annotated[
        float | None, typer.Option("--share-learn", help="Share of the entries to learn in.")
    ] = None,
    locator: Annotated[
        str | None, typer.Option("--locator", help="change, bottom or allo_released.")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option("--steps", help="Updates of every stage, as 100 or 20,60,220; or one pass."),
    ] = None,
    lr: Annotated[
        str | None, typer.Option("--lr", help="Rates of the stages, as 1e-5 or 1e-5,5e-6,1e-5.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", help="Pairs an update, over all processes.")
    ] = None,
    beta: Annotated[float | None, typer.Option("--beta", help="Of all losses.")] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", help="Share of a rejected answer's tokens that learning takes."),
    ] = None,
    select: Annotated[
        Select | None, typer.Option("--select", help="Those that fell most, or least.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Column with a number a token of the rejected answer."),
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="Decoupled decay of the moved entries.")
    ] = None,
    clip: Annotated[
        float | None, typer.Option("--clip", help="Norm that gradients are cut to.")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option("--accumulate", help="Pieces a batch is cut into, for memory.")
    ] = None,
    freeze_embeddings: Annotated[
        bool, typer.Option("--freeze-embeddings", help="Neither rank nor move the token tables.")
    ] = False,
    mixed_precision: Annotated[
        Precision | None, typer.Option("--mixed-precision", help="Of forward and backward passes.")
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", help="Updates between two states on disk.")
    ] = 100,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted alignment.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of the order of the pairs.")
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Align a model to preference pairs in few of its entries (ALLO); writes a model directory.

    A warm-up shows which entries an alignment moves; forgetting takes probability from the rejected
    answers' tokens, learning prefers the chosen ones, each in its own share of the entries. The
    rates of the presets are for large models: give --lr for a small one.

    Example: interp ability align polyglot/ability pairs.jsonl --out aligned --lr 1e-4 --steps 50

    On two processes: torchrun --nproc-per-node 2 -m interp.cli.app ability align ...
    """
    from interp.abilities.allo.align import align as align_directories
    from interp.abilities.allo.stages import PRESETS, STAGES
    from interp.abilities.masks.mask import NeuronMask
    from interp.abilities.training.processes import is_first_process

    chosen = None if mask is None else NeuronMask.load(mask)
    usual = STAGES if chosen is None else STAGES[1:]
    recipe = PRESETS[preset].only(*(usual if stages is None else stages.split(",")))
    if locator is not None:
        recipe = replace(recipe, locator=locator)
    if weights is not None:
        recipe = replace(recipe, weights=weights)
    recipe = _with_settings(
        recipe,
        batch_size=batch_size,
        beta=beta,
        weight_decay=weight_decay,
        clip_norm=clip,
        accumulate=accumulate,
        seed=seed,
        freeze_embeddings=freeze_embeddings or None,
    )
    recipe = _per_stage(_per_stage(recipe, "steps", steps, int), "lr", lr, float)
    recipe = _with_settings(recipe, only="forget", share=share_forget)
    recipe = _with_settings(
        recipe, only="learn", share=share_learn, epsilon=epsilon, select=select and select.value
    )
    result = align_directories(
        base,
        pairs,
        out,
        recipe=recipe,
        mask=chosen,
        device=device,
        mixed_precision=mixed_precision and mixed_precision.value,
        checkpoint_every=checkpoint_every,
        resume=resume,
        overwrite=overwrite,
    )
    if not is_first_process():
        return
    if json:
        print_json(result.to_json())
    else:
        say(_text(result))


def _with_settings(recipe: "AlloRecipe", *, only: str | None = None, **given: Any) -> "AlloRecipe":
    """The recipe with what was given on the command line, in one stage or in all."""
    changes = {name: value for name, value in given.items() if value is not None}
    if only is not None and changes:
        recipe.stage(only)
    stages = tuple(
        replace(stage, **changes) if only in (None, stage.stage) else stage
        for stage in recipe.stages
    )
    return replace(recipe, stages=stages)


def _per_stage(recipe: "AlloRecipe", name: str, given: str | None, kind: Any) -> "AlloRecipe":
    """The recipe with one number for every stage, or one each in the order of the stages."""
    if given is None:
        return recipe
    try:
        numbers = [kind(number) for number in given.split(",")]
    except ValueError as error:
        raise BadInput(f"--{name} {given}: expected numbers as 100 or 20,60,220") from error
    if len(numbers) not in (1, len(recipe.stages)):
        order = ",".join(stage.stage for stage in recipe.stages)
        raise BadInput(f"--{name} {given}: expected one number, or one for each of {order}")
    if len(numbers) == 1:
        numbers *= len(recipe.stages)
    stages = [
        replace(stage, **{name: number})
        for stage, number in zip(recipe.stages, numbers, strict=True)
    ]
    return replace(recipe, stages=tuple(stages))


def _text(result: "Alignment") -> str:
    """Budget, entries and losses, a line a stage."""
    lines = [
        f"{result.path}: {result.moved:,} of {result.n_entries:,} entries moved "
        f"({result.moved / result.n_entries:.4f}), float32"
    ]
    for stage in result.stages:
        shown = stage.to_json()
        lines.append(
            f"  {stage.stage}: {shown['steps']:,} steps on {stage.pairs_seen:,} pairs, "
            f"{stage.entries:,} entries free, loss {shown['first_loss']:.4f} to "
            f"{shown['last_loss']:.4f}"
        )
    forgets = any(stage.stage == "forget" for stage in result.stages)
    if forgets and result.n_weighted < result.n_pairs:
        lines.append(
            f"  {result.n_pairs - result.n_weighted:,} of {result.n_pairs:,} pairs have no token "
            "weights: forgetting weighs every token of their rejected answers 1"
        )
    lines.append(f"  {result.steps:,} steps in all: a fair comparison gives plain DPO as many")
    return "\n".join(lines)
