"""`interp ability verify`: has a model gained an ability, against simpler ways to get it?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Batch, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.escape import visible


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
    comparators: Annotated[
        str | None,
        typer.Option("--comparators", help="More ways to merge: ties, dare_ties, slerp, ..."),
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
    from interp.abilities.comparing.bench import Candidates
    from interp.abilities.comparing.comparator import Scales
    from interp.abilities.comparing.random_weights import random_weights_like
    from interp.abilities.comparing.tuning import ETAS, GAMMAS, grid
    from interp.abilities.comparing.verify import verify
    from interp.abilities.comparing.written_transfer import transfer_command
    from interp.abilities.moving.weights import AbilityWeights
    from interp.abilities.training.masked_training import TrainingRecipe

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
            comparators=_names(comparators),
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


def _numbers(text: str | None, default: tuple[float, ...]) -> tuple[float, ...]:
    if text is None:
        return default
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise BadInput(f"{text!r} are not numbers with commas between them") from error


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(name.strip() for name in text.split(","))
