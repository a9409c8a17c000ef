"""`interp ability locate`: which entries hold an ability."""

from enum import StrEnum
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.ability.options import Base, Batch, Rate, Steps, Warmup, p_text
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.abilities.masks.mask import NeuronMask


class UnitScoreName(StrEnum):
    """l2: root of the mean square."""

    mean = "mean"
    l2 = "l2"
    max = "max"


class SharedKeysName(StrEnum):
    """When whole heads take the key and value head that they share."""

    strict = "strict"
    any = "any"


def locate(
    base: Base,
    out: Out,
    examples: Annotated[
        Path | None,
        typer.Argument(help="Training jsonl; magnitude and random need none."),
    ] = None,
    locator: Annotated[str, typer.Option("--locator", help="How entries are scored.")] = "change",
    share: Annotated[
        float, typer.Option("--share", help="Share of the ranked entries to choose.")
    ] = 0.05,
    general: Annotated[
        Path | None,
        typer.Option(
            "--general",
            help="General training jsonl, for contrast; beside --trained the model it gave.",
        ),
    ] = None,
    trained: Annotated[
        Path | None,
        typer.Option("--trained", help="A short training done elsewhere, read in pieces."),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option("--like", help="A mask whose counts per tensor or layer random ones keep."),
    ] = None,
    per_tensor: Annotated[
        bool,
        typer.Option("--per-tensor", help="The same share of every tensor, or of a layer's units."),
    ] = False,
    rank_embeddings: Annotated[
        bool,
        typer.Option("--rank-embeddings", help="Rank tables too, and as tensors norms and biases."),
    ] = False,
    level: Annotated[
        str,
        typer.Option(
            "--level", help="Ranked: entry, neuron, head, q_head, kv_head, layer or tensor."
        ),
    ] = "entry",
    unit_score: Annotated[
        UnitScoreName,
        typer.Option("--unit-score", help="A unit's score, from those of its entries."),
    ] = UnitScoreName.mean,
    kv: Annotated[
        SharedKeysName,
        typer.Option(
            "--kv", help="Heads take shared keys and values if all of their group are in, or any."
        ),
    ] = SharedKeysName.strict,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="NAME=FILE: jsonl of a language, for language neurons."),
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="The language asked for, of those in --text.")
    ] = None,
    max_examples: Annotated[
        int | None,
        typer.Option("--max-examples", help="Of the examples take so many, drawn by the seed."),
    ] = None,
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
    """Find the entries, neurons or heads of a model that an ability is in; writes a mask.

    Example: interp ability locate polyglot ability.jsonl --share 0.2 --out masks/located

    Neurons: interp ability locate polyglot ability.jsonl --level neuron --out masks/neurons

    Null of it: interp ability locate polyglot --locator random --like masks/located --out masks/r

    Nulls without data: interp ability locate polyglot --locator magnitude --out masks/largest
    """
    from interp.abilities.locating.request import AT_REST, check_at_rest, check_request

    scope = "tensor" if per_tensor else "global"
    check_out(out, replace=overwrite)
    check_request(locator=locator, level=level, share=share)
    if like is not None and locator != "random":
        raise BadInput(f"--like draws random entries: give --locator random, not {locator}")
    at_rest = like is None and (trained is not None or locator in AT_REST)
    if at_rest:
        check_at_rest(locator=locator, trained=trained is not None, general=general is not None)
    elif like is None:
        _check_examples(examples, text or [], max_examples)

    from interp.abilities.masks.mask import NeuronMask

    if like is not None:
        from interp.abilities.masks.random_mask import random_like

        mask = random_like(NeuronMask.load(like), seed=seed)
    elif at_rest:
        from interp.abilities.locating.at_rest import locate_at_rest

        mask = locate_at_rest(
            base,
            trained,
            locator=locator,
            share=share,
            scope=scope,
            rank_embeddings=rank_embeddings,
            level=level,
            unit_score=unit_score.value,
            kv=kv.value,
            general=general,
            seed=seed,
        )
    else:
        from interp.abilities.locating.locate import locate as locate_by_examples
        from interp.abilities.training.masked_training import TrainingRecipe

        mask = locate_by_examples(
            base,
            examples,
            locator=locator,
            share=share,
            general=general,
            scope=scope,
            rank_embeddings=rank_embeddings,
            level=level,
            unit_score=unit_score.value,
            kv=kv.value,
            languages=_texts(text or []),
            language=language,
            max_examples=max_examples,
            split_halves=split_halves,
            training=TrainingRecipe(
                steps=steps, lr=lr, batch_size=batch_size, warmup=warmup, seed=seed
            ),
            device=device,
        )
    mask.save(out, overwrite=overwrite)
    result = {"path": str(out), "count": mask.count, "share": mask.share, "recipe": mask.recipe}
    result |= {"level": mask.level, "by_tensor": mask.counts_by_tensor()}
    if json:
        units = mask.units
        print_json(result | ({} if units is None else {"units": units.summary()}))
    else:
        print(f"{out}: {_mask_text(mask)}")


def _check_examples(examples: Path | None, texts: list[str], max_examples: int | None) -> None:
    """Raise BadInput where there is nothing to locate by, or a file of it is not there."""
    if examples is None and not texts:
        raise BadInput("nothing to locate by: give training examples, --trained or --like")
    if max_examples is not None and max_examples < 1:
        raise BadInput(f"--max-examples {max_examples}: expected 1 or more")
    for path in [*([] if examples is None else [examples]), *_texts(texts).values()]:
        if not path.is_file():
            raise BadInput(f"{path} is not a file: expected jsonl with prompt and answer, or text")


def _texts(named: list[str]) -> dict[str, Path]:
    """The files of NAME=FILE options, by name."""
    pairs = [item.partition("=") for item in named]
    for (name, sign, file), item in zip(pairs, named, strict=True):
        if not (name and sign and file):
            raise BadInput(f"--text {item!r} is no NAME=FILE, as en=english.jsonl")
    return {name: Path(file) for name, _, file in pairs}


def _mask_text(mask: "NeuronMask") -> str:
    """The mask in a few lines: counts by layer or tensor type, and how steady it is."""
    ranked = sum(support.n_entries for support in mask.tensors.values())
    lines = [f"{mask.count:,} of {ranked:,} ranked entries ({mask.share:.4f} of the model)"]
    if mask.units is None:
        lines += _tensor_lines(mask)
    else:
        lines[0] = f"{mask.units.said()}, {lines[0]}"
        lines += mask.units.lines()
    lines += _report_lines(mask.recipe.get("report", {}), "entries" if not mask.units else "units")
    return "\n".join(visible(line, limit=len(line)) for line in lines)


def _tensor_lines(mask: "NeuronMask") -> list[str]:
    from interp.abilities.masks.mask_layout import mask_layout

    layout, lines = mask_layout(mask), []
    for index, kind in enumerate(layout.kinds):
        chosen, of = int(layout.chosen[:, index].sum()), int(layout.ranked[:, index].sum())
        lines.append(f"  {kind}: {chosen:,} of {of:,} ({chosen / max(of, 1):.3f})")
    return lines + [f"  {kind}: {c:,} of {of:,}" for kind, (c, of) in layout.outside.items()]


def _report_lines(report: dict[str, Any], things: str) -> list[str]:
    lines = []
    if half := report.get("split_half"):
        shared = half["overlap"]
        correlation = half["rank_correlation"]
        said = "undefined" if correlation is None else f"{correlation:.3f}"
        lines.append(
            f"  two halves of the examples: rank correlation {said}, masks share "
            f"{shared['shared']:,} {things} (chance {shared['expected']:,.1f}, "
            f"p {_p_more(shared)})"
        )
    if by_size := report.get("overlap_with_magnitude"):
        lines.append(
            f"  shared with the largest weights: {by_size['shared']:,} {things} "
            f"(chance {by_size['expected']:,.1f}, p {_p_more(by_size)})"
        )
    if gates := report.get("gates"):
        lines.append(
            f"  gates closed {gates['sparsity_reached']:.3f}, {gates['sparsity_asked']:.3f} asked; "
            f"loss with the others taken out {gates['loss_kept']:.3f} nats, random {things} "
            f"{gates['loss_random_mean']:.3f} (p {gates['p_value']:.2g}), "
            f"whole model {gates['loss_whole']:.3f}"
        )
    return lines


def _p_more(overlap: dict[str, Any]) -> str:
    return p_text(overlap["stratified"]["log10_p_more"] * log(10))
