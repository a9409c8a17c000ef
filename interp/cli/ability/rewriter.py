"""`interp ability rewriter`: train a model to correct answers with few edits."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.options import Base, Batch, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json


def rewriter(
    base: Base,
    corrections: Annotated[
        Path,
        typer.Argument(help="jsonl with prompt, chosen, rejected, and perhaps rewrite and answer."),
    ],
    out: Out,
    template: Annotated[
        str | None,
        typer.Option("--template", help="What it reads: {problem}, {solution}, {prediction}."),
    ] = None,
    steps: Steps = 400,
    lr: Rate = 1e-3,
    batch_size: Batch = 128,
    warmup: Warmup = 30,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train the model that `interp ability reward` asks: it corrects answers with few edits.

    Of a row's rewrites (and its chosen answer) the one with a right final answer and the fewest
    edits is taught; answers that need no edit are mixed in.

    Example: interp ability rewriter policy corrections.jsonl --out models/rewriter
    """
    from interp.abilities.allo.corrections import TEMPLATE
    from interp.abilities.allo.rewriter import train_rewriter
    from interp.abilities.training.masked_training import TrainingRecipe

    recipe = TrainingRecipe(
        steps=steps,
        lr=lr,
        batch_size=batch_size,
        warmup=warmup,
        freeze_embeddings=False,
        seed=seed,
    )
    made = train_rewriter(
        base,
        corrections,
        out,
        template=TEMPLATE if template is None else template,
        recipe=recipe,
        device=device,
        overwrite=overwrite,
    )
    if json:
        print_json(made.to_json())
    else:
        learnt = f"{made.n_rewrites:,} rewrites and {made.n_copies:,} copies"
        print(f"{out}: learnt from {learnt}, {made.n_dropped:,} dropped, loss {made.loss:.3f}")
