"""`interp ability locate`: which entries hold an ability."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.ability.options import Base, Batch, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.abilities.mask import NeuronMask


def locate(
    base: Base,
    out: Out,
    examples: Annotated[
        Path | None, typer.Argument(help="Training jsonl of the ability, in its one language.")
    ] = None,
    locator: Annotated[str, typer.Option("--locator", help="How entries are scored.")] = "change",
    share: Annotated[
        float, typer.Option("--share", help="Share of the ranked entries to choose.")
    ] = 0.05,
    general: Annotated[
        Path | None, typer.Option("--general", help="General training jsonl, for contrast.")
    ] = None,
    trained: Annotated[
        Path | None,
        typer.Option("--trained", help="A short training done elsewhere; streamed, for change."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option("--like", help="A mask whose counts per tensor random entries keep."),
    ] = None,
    per_tensor: Annotated[
        bool, typer.Option("--per-tensor", help="The same share of every tensor.")
    ] = False,
    rank_embeddings: Annotated[
        bool, typer.Option("--rank-embeddings", help="Rank embedding and unembedding too.")
    ] = False,
    level: Annotated[str, typer.Option("--level", help="What is ranked: entry.")] = "entry",
    split_halves: Annotated[
        bool, typer.Option(help="Score both halves of the examples too; three times the work.")
    ] = True,
    steps: Steps = 100,
    lr: Rate = 1e-3,
    batch_size: Batch = 128,
    warmup: Warmup = 30,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find the entries of a model that an ability is written in; writes a mask.

    Example: interp ability locate polyglot ability.jsonl --share 0.2 --out masks/located

    Null of it: interp ability locate polyglot --locator random --like masks/located --out masks/r
    """
    from interp.abilities.locate import locate as locate_by_examples
    from interp.abilities.locate import locate_between
    from interp.abilities.mask import NeuronMask
    from interp.abilities.masked_training import TrainingRecipe
    from interp.abilities.random_mask import random_like

    scope = "tensor" if per_tensor else "global"
    check_out(out, replace=overwrite)
    if like is not None:
        if locator != "random":
            raise BadInput(f"--like draws random entries: give --locator random, not {locator}")
        mask = random_like(NeuronMask.load(like), seed=seed)
    elif trained is not None:
        if locator != "change":
            raise BadInput(f"--trained is scored by change, not by {locator}: leave out one")
        mask = locate_between(
            base, trained, share=share, scope=scope, rank_embeddings=rank_embeddings
        )
    elif examples is None:
        raise BadInput("nothing to locate by: give training examples, --trained or --like")
    else:
        mask = locate_by_examples(
            base,
            examples,
            locator=locator,
            share=share,
            general=general,
            scope=scope,
            rank_embeddings=rank_embeddings,
            level=level,
            split_halves=split_halves,
            training=TrainingRecipe(
                steps=steps, lr=lr, batch_size=batch_size, warmup=warmup, seed=seed
            ),
            device=device,
        )
    mask.save(out, overwrite=overwrite)
    result = {"path": str(out), "count": mask.count, "share": mask.share, "recipe": mask.recipe}
    if json:
        print_json(result | {"by_tensor": mask.counts_by_tensor()})
    else:
        print(f"{out}: {_mask_text(mask)}")


def _mask_text(mask: "NeuronMask") -> str:
    """The mask in a few lines: counts by tensor type, and how steady it is."""
    from interp.abilities.mask_layout import mask_layout

    layout = mask_layout(mask)
    ranked = sum(support.n_entries for support in mask.tensors.values())
    lines = [f"{mask.count:,} of {ranked:,} ranked entries ({mask.share:.4f} of the model)"]
    for index, kind in enumerate(layout.kinds):
        chosen, of = int(layout.chosen[:, index].sum()), int(layout.ranked[:, index].sum())
        lines.append(f"  {kind}: {chosen:,} of {of:,} ({chosen / max(of, 1):.3f})")
    lines += [f"  {kind}: {chosen:,} of {of:,}" for kind, (chosen, of) in layout.outside.items()]
    report: dict[str, Any] = mask.recipe.get("report", {})
    if half := report.get("split_half"):
        shared = half["overlap"]
        correlation = half["rank_correlation"]
        said = "undefined" if correlation is None else f"{correlation:.3f}"
        lines.append(
            f"  two halves of the examples: rank correlation {said}, masks share "
            f"{shared['shared']:,} entries (chance {shared['expected']:,.0f})"
        )
    if by_size := report.get("overlap_with_magnitude"):
        lines.append(
            f"  shared with the largest weights: {by_size['shared']:,} entries "
            f"(chance {by_size['expected']:,.0f})"
        )
    return "\n".join(visible(line, limit=len(line)) for line in lines)
