"""`interp ability train`: learn an ability, all of a model or a mask of it."""

from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Batch, Examples, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json


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

    On two processes: torchrun --nproc-per-node 2 -m interp.cli.app ability train ...
    """
    from interp.abilities.masks.mask import NeuronMask
    from interp.abilities.training.masked_training import TrainingRecipe, train_ability
    from interp.abilities.training.processes import is_first_process

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
    if not is_first_process():
        return
    trained = "all" if chosen is None else f"{chosen.count:,} entries of {chosen.base.n:,}"
    if json:
        count = None if chosen is None else chosen.count
        print_json({"path": str(out), "trained_entries": count})
    else:
        print(f"{out}: {trained} trained, float32")
        print(f"next: {join(_extraction(base, out, mask))}")


def _extraction(base: str, out: Path, mask: Path | None) -> list[str]:
    """The command that takes the weights out of what was trained."""
    from interp.models.hub import directory_of
    from interp.models.weight_files import locate_tensors

    formats = {span.dtype for span in locate_tensors(directory_of(base)).values()}
    command = ["interp", "ability", "extract", base, str(out)]
    if mask is not None:
        command += ["--mask", str(mask)]
    if formats != {"F32"}:
        command.append("--cast")
    return [*command, "--out", "weights"]
