"""`interp ability locate`, `train` and `verify`: what needs a model in memory."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.escape import visible

if TYPE_CHECKING:
    from interp.abilities.mask import NeuronMask

Base = Annotated[str, typer.Argument(help="Bundled name, directory or hub id.")]
Examples = Annotated[
    Path, typer.Argument(help='Training jsonl: {"prompt", "answer"} or {"text"} on each line.')
]
Steps = Annotated[int, typer.Option("--steps", help="Training steps.")]
Rate = Annotated[float, typer.Option("--lr", help="Learning rate after the warm-up.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Examples a step.")]
Warmup = Annotated[int, typer.Option("--warmup", help="Steps of linear warm-up.")]


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


def train(
    base: Base,
    examples: Examples,
    out: Out,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Train only the entries of this mask.")
    ] = None,
    steps: Steps = 400,
    lr: Rate = 1e-3,
    batch_size: Batch = 128,
    warmup: Warmup = 30,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="Decoupled decay of the trained entries.")
    ] = 0.0,
    clip: Annotated[
        float | None, typer.Option("--clip", help="Norm that gradients are cut to.")
    ] = None,
    train_embeddings: Annotated[
        bool, typer.Option("--train-embeddings", help="Train embedding and unembedding too.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a model on an ability, all of it or only a mask's entries; writes a model directory.

    Example: interp ability train polyglot ability.jsonl --mask masks/located --out models/ability
    """
    from interp.abilities.mask import NeuronMask
    from interp.abilities.masked_training import TrainingRecipe, train_ability

    recipe = TrainingRecipe(
        steps=steps,
        lr=lr,
        batch_size=batch_size,
        warmup=warmup,
        weight_decay=weight_decay,
        clip_norm=clip,
        freeze_embeddings=not train_embeddings,
        seed=seed,
    )
    chosen = None if mask is None else NeuronMask.load(mask)
    train_ability(
        base, examples, out, mask=chosen, recipe=recipe, device=device, overwrite=overwrite
    )
    trained = "all" if chosen is None else f"{chosen.count:,} entries of {chosen.base.n:,}"
    if json:
        count = None if chosen is None else chosen.count
        print_json({"path": str(out), "trained_entries": count})
    else:
        print(f"{out}: {trained} trained, float32")


def verify(
    base: Base,
    items: Annotated[
        list[Path], typer.Option("--items", help="Evaluation jsonl with splits; may be repeated.")
    ],
    weights: Annotated[
        Path, typer.Option("--weights", help="Ability weights, as `extract` writes them.")
    ],
    ability: Annotated[
        str, typer.Option("--ability", help="Model trained on the ability, all entries free.")
    ],
    language: Annotated[str, typer.Option("--language", help="Model that is to gain the ability.")],
    targets: Annotated[
        str, typer.Option("--targets", help="Languages it is to gain it in, with commas.")
    ],
    out: Out,
    task: Annotated[
        str, typer.Option("--task", help="The task of the items that is the ability.")
    ] = "ability",
    random_weights: Annotated[
        Path | None, typer.Option("--random-weights", help="Ability weights at random entries.")
    ] = None,
    train_random: Annotated[
        Path | None,
        typer.Option("--train-random", help="Make them: the jsonl the ability was trained on."),
    ] = None,
    general: Annotated[
        Path | None,
        typer.Option("--general", help="General jsonl, where the weights subtract a control."),
    ] = None,
    control: Annotated[
        str | None, typer.Option("--control", help="General-only model, for the plain analogy.")
    ] = None,
    ceiling: Annotated[
        str | None, typer.Option("--ceiling", help="Model trained on the ability in the targets.")
    ] = None,
    transferred: Annotated[
        str | None, typer.Option("--transferred", help="The transfer as `transfer` wrote it.")
    ] = None,
    gammas: Annotated[
        str | None, typer.Option("--gammas", help="Scales of the ability to choose from.")
    ] = None,
    etas: Annotated[
        str | None, typer.Option("--etas", help="Scales of the language to choose from.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="General accuracy that a choice may cost.")
    ] = 0.03,
    k2: Annotated[
        float, typer.Option("--k2", help="Share of the tensors that the ability is added in.")
    ] = 1.0,
    choice: Annotated[
        bool, typer.Option("--choice", help="Score by the likeliest of the items' choices.")
    ] = False,
    steps: Steps = 400,
    lr: Rate = 1e-3,
    batch_size: Batch = 128,
    warmup: Warmup = 30,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test whether a model gained an ability, against simpler ways to get it; writes a comparison.

    Every method has its scales chosen on the items of split `validation`, from the same grid; the
    items of split `test` are answered once. --steps, --lr, --batch-size and --warmup say how the
    random entries of --train-random are trained: give those of the ability weights.

    Example: interp ability verify polyglot --items validation.jsonl --items test.jsonl
    --weights weights --ability polyglot/ability --language polyglot/language --targets D,E
    --train-random ability.jsonl --ceiling polyglot/ceiling --out comparison
    """
    from interp.abilities.bench import Candidates
    from interp.abilities.comparator import Scales
    from interp.abilities.masked_training import TrainingRecipe
    from interp.abilities.random_weights import random_weights_like
    from interp.abilities.tuning import ETAS, GAMMAS, grid
    from interp.abilities.verify import verify
    from interp.abilities.weights import AbilityWeights
    from interp.abilities.written_transfer import transfer_command

    check_out(out, replace=overwrite)
    if random_weights is not None and train_random is not None:
        raise BadInput("--random-weights and --train-random: give one of the two")
    settings = grid(_numbers(gammas, GAMMAS), _numbers(etas, ETAS))
    located = AbilityWeights.load(weights)
    at_random = None if random_weights is None else AbilityWeights.load(random_weights)
    if train_random is not None:
        at_random = random_weights_like(
            base,
            located,
            train_random,
            out.with_name(f"{out.name}-random-weights"),
            general=general,
            recipe=TrainingRecipe(
                steps=steps, lr=lr, batch_size=batch_size, warmup=warmup, seed=seed
            ),
            device=device,
            overwrite=overwrite,
        )
    table = verify(
        Candidates(
            base=base,
            ability_model=ability,
            language_model=language,
            weights=located,
            random_weights=at_random,
            control=control,
            ceiling=ceiling,
            transferred=transferred,
        ),
        items,
        ability_task=task,
        targets=[target.strip() for target in targets.split(",")],
        settings=settings,
        tolerance=tolerance,
        k2=k2,
        rule="choice" if choice else "greedy",
        seed=seed,
        device=device,
    )
    table.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out)} | table.to_json())
    else:
        print(table.text_table())
    if transferred is None:
        chosen = next(row.setting for row in table.rows if row.key == "transfer")
        command = transfer_command(
            base=base,
            weights=weights,
            language=language,
            scales=Scales(**chosen),
            k2=k2,
            out=out.with_name(f"{out.name}-model"),
        )
        print(f"\nTo write the transfer that was tested: {visible(command, limit=len(command))}",
              file=sys.stderr)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add these commands to `interp ability`."""
    for command in (locate, train, verify):
        app.command()(command)


def _numbers(text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    if text is None:
        return default
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise BadInput(f"{text!r} are not numbers with commas between them") from error


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
