"""`interp ability influence`: which training examples drive an ability."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.ability.options import Base, Batch, Examples, Rate, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.results.atomic import check_out

if TYPE_CHECKING:
    from interp.abilities.influence.influence import Influence


class Form(StrEnum):
    """What a training example's step is."""

    sgd = "sgd"
    adam = "adam"


class AdamEpsilon(StrEnum):
    """Where Adam's epsilon stands."""

    inside = "inside"
    outside = "outside"


def influence(
    base: Base,
    examples: Examples,
    validation: Annotated[
        Path, typer.Argument(help="Jsonl of what the ability is to do, in the same two forms.")
    ],
    out: Out,
    keep: Annotated[
        float, typer.Option("--keep", help="Share of the training lines that --write keeps.")
    ] = 0.05,
    write: Annotated[
        Path | None, typer.Option("--write", help="Where the narrowed corpus goes.")
    ] = None,
    form: Annotated[Form, typer.Option("--form", help="A training example's step.")] = Form.sgd,
    subtask: Annotated[
        str, typer.Option("--subtask", help="Field of the validation lines that tells sub-tasks.")
    ] = "task",
    sketch: Annotated[
        int | None, typer.Option("--sketch", help="Sketch gradients in so many dimensions.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", help="Steps of a training to measure in; 0: the base alone.")
    ] = 0,
    checkpoints: Annotated[
        int, typer.Option("--checkpoints", help="Points of that training that are measured at.")
    ] = 4,
    lr: Rate = 1e-3,
    batch_size: Batch = 32,
    warmup: Warmup = 5,
    optimizer_state: Annotated[
        Path | None,
        typer.Option("--optimizer-state", help="Safetensors: exp_avg.NAME, exp_avg_sq.NAME, step."),
    ] = None,
    adam_epsilon: Annotated[
        AdamEpsilon,
        typer.Option("--adam-epsilon", help="inside the root (LESS's code) or outside (Adam)."),
    ] = AdamEpsilon.inside,
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="Correct Adam's moments for their start at 0.")
    ] = False,
    shuffles: Annotated[
        int, typer.Option("--shuffles", help="Times the validation answers are shuffled.")
    ] = 5,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score training examples by how their gradients agree with those of validation examples.

    Example: interp ability influence polyglot corpus.jsonl wanted.jsonl --out influence

    Narrow: interp ability influence polyglot c.jsonl v.jsonl --out i --keep 0.2 --write n.jsonl
    """
    from interp.abilities.influence.adam import AdamForm
    from interp.abilities.influence.narrowing import check_new, check_share, narrow
    from interp.abilities.influence.scoring import influence_of
    from interp.abilities.training.masked_training import TrainingRecipe

    check_out(out, replace=overwrite)
    check_share(keep)
    if write is not None:
        check_new(write)
    found = influence_of(
        base,
        examples,
        validation,
        form=form.value,
        subtask=subtask,
        sketch=sketch,
        warm_up=TrainingRecipe(
            steps=steps, lr=lr, batch_size=batch_size, warmup=min(warmup, steps), seed=seed
        )
        if steps
        else None,
        checkpoints=checkpoints,
        optimizer_state=optimizer_state,
        adam=AdamForm(adam_epsilon=adam_epsilon.value, bias_correction=bias_correction),
        shuffles=shuffles,
        seed=seed,
        device=device,
    )
    found.save(out, overwrite=overwrite)
    kept = None if write is None else narrow(found, examples, write, keep=keep)
    if json:
        written = None if write is None else {"path": str(write), "n": kept}
        print_json({"path": str(out), **_summary(found), "narrowed": written})
        return
    say(f"{out}: {_text(found)}")
    if write is not None:
        say(f"{write}: {kept:,} of {len(found.score):,} lines")


def _summary(found: "Influence") -> dict[str, Any]:
    return {
        "n": len(found.score),
        "subtasks": dict(zip(found.subtasks, found.n_validation, strict=True)),
        "form": found.form,
        "n_parameters": found.n_parameters,
        "dim": found.dim,
        "left_out": list(found.left_out),
        "checkpoint_weights": list(found.checkpoint_weights),
        "threshold": found.threshold(),
        "n_above": found.n_significant(),
        "length_correlation": _number(found.length_correlation.value),
        "split_half": _number(found.split_half.value),
        "reliability": _number(found.reliability),
        "best": [
            {
                "row": int(found.row[i]),
                "score": float(found.score[i]),
                "interval": [_number(float(end)) for end in found.interval[i]],
                "p": float(found.p_value[i]),
                "subtask": found.subtasks[int(found.by_subtask[i].argmax())],
            }
            for i in found.ranked()[:10]
        ],
    }


def _text(found: "Influence") -> str:
    asked = ", ".join(
        f"{n} of {t}" for t, n in zip(found.subtasks, found.n_validation, strict=True)
    )
    how = "exact gradients" if found.dim is None else f"gradients sketched in {found.dim:,}"
    n, above, threshold = len(found.score), found.n_significant(), found.threshold()
    over = (
        "no score stands"
        if threshold is None
        else f"{above:,} scores from {threshold:.4f} up stand"
    )
    lines = [
        f"{n:,} training examples against {asked}; {how} of {found.n_parameters:,} entries",
        f"  {over} out of those that shuffled answers give (FDR 0.05, {len(found.null)} shuffles)",
        f"  two halves of the validation: rank correlation {_said(found.split_half.value)}, "
        f"reliability of the whole {_said(found.reliability)}",
        f"  rank correlation with length: {_said(found.length_correlation.value)}",
        f"  left out: {len(found.left_out)} tensors ({', '.join(found.left_out[:3])}, ...)",
        "  line  score  95% interval",
    ]
    for i in found.ranked()[:10]:
        low, high = found.interval[i]
        name = found.subtasks[int(found.by_subtask[i].argmax())]
        lines.append(f"  {found.row[i]:,}  {found.score[i]:.4f}  [{low:.4f}, {high:.4f}]  {name}")
    return "\n".join(lines)


def _number(value: float) -> float | None:
    return value if value == value else None


def _said(value: float) -> str:
    return f"{value:.3f}" if value == value else "undefined"
