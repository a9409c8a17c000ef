"""Writing the two siblings, trained from one seed, with all their checkpoints."""

from dataclasses import asdict
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from interp.results.atomic import atomic_directory, write_json
from interp.results.progress import progress
from interp.results.provenance import package_versions
from probes.functions.blocks import EXPERTS_PER_BLOCK, known_blocks, known_experts
from probes.functions.model import write_model
from probes.functions.recipe import SIBLINGS, Recipe
from probes.functions.tasks import FUNCTIONS
from probes.functions.training import train_sibling

RECIPE = Recipe()


def train_siblings(out: Path, *, seed: int, recipe: Recipe = RECIPE) -> None:
    """Write both siblings into `out`: their last weights, a series of step-N, and what is known.

    known.json holds the block and the expert of every neuron, training.json every setting. One
    thread, so that a seed gives the same weights on the same kind of processor.
    """
    torch.set_num_threads(1)
    with atomic_directory(out) as directory:
        for sibling in SIBLINGS:
            _train_into(directory / sibling, sibling, recipe, seed=seed)
        write_json(directory / "known.json", known(seed))
        settings = {"seed": seed, "recipe": asdict(recipe), "versions": package_versions()}
        write_json(directory / "training.json", settings)


def known(seed: int) -> dict[str, object]:
    """The truth about the planted sibling's neurons, as JSON values; for the control, a fiction."""
    return {
        "schema": "interp.known_modules/1",
        "functions": list(FUNCTIONS),
        "sites": [f"blocks.{layer}.mlp.hook_post" for layer in range(len(known_blocks(seed)))],
        "block": known_blocks(seed).tolist(),
        "expert": known_experts(seed).tolist(),
        "experts_per_block": EXPERTS_PER_BLOCK,
    }


def _train_into(directory: Path, sibling: str, recipe: Recipe, *, seed: int) -> None:
    def save(step: int, model: GPT2LMHeadModel) -> None:
        write_model(model, directory / f"step-{step}")

    with progress(f"training {sibling}", total=recipe.steps, unit="steps") as advance:
        model = train_sibling(sibling, recipe, seed=seed, save=save, on_progress=advance)
    write_model(model, directory)
