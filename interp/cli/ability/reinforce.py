"""`interp ability reinforce`: train on token rewards and minimal rewrites."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Batch, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json


def reinforce(
    policy: Base,
    rewarded: Annotated[Path, typer.Argument(help="Pairs as `interp ability reward` wrote them.")],
    out: Out,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="Train only the entries of this mask.")
    ] = None,
    imitation: Annotated[
        float, typer.Option("--imitation", help="Weight of imitating the rewrites.")
    ] = 1.0,
    steps: Steps = 300,
    lr: Rate = 5e-6,
    batch_size: Batch = 128,
    warmup: Warmup = 9,
    train_embeddings: Annotated[
        bool, typer.Option("--train-embeddings", help="Train embedding and unembedding too.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train a model by RLMEC's objective: token rewards push, minimal rewrites are imitated.

    Example: interp ability reinforce policy weighted.jsonl --out models/reinforced
    """
    from interp.abilities.allo.reinforcement import reinforce as write_reinforced
    from interp.abilities.masks.mask import NeuronMask
    from interp.abilities.training.masked_training import TrainingRecipe

    recipe = TrainingRecipe(
        steps=steps,
        lr=lr,
        batch_size=batch_size,
        warmup=warmup,
        freeze_embeddings=not train_embeddings,
        seed=seed,
    )
    losses = write_reinforced(
        policy,
        rewarded,
        out,
        mask=None if mask is None else NeuronMask.load(mask),
        recipe=recipe,
        imitation=imitation,
        device=device,
        overwrite=overwrite,
    )
    first, last = float(losses[0]), float(losses[-1])
    if json:
        print_json({"path": str(out), "steps": len(losses), "loss": [first, last]})
    else:
        print(f"{out}: {len(losses)} steps, loss {first:.3f} to {last:.3f}, float32")
