"""Writing a model, trained from a seed, with its checkpoints and its recipe."""

from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedModel

from interp.results.atomic import atomic_directory, write_json
from interp.results.progress import progress
from interp.results.provenance import package_versions
from probes.relations.model import write_model
from probes.relations.recipe import RECIPES, Recipe
from probes.relations.training import train_model
from probes.relations.worlds import WORLDS


def train_into(out: Path, name: str, *, seed: int, recipe: Recipe | None = None) -> None:
    """Write the model `name` into `out`: its last weights, a series of step-N, training.json.

    One thread, so that a seed gives the same weights on the same kind of processor.
    """
    torch.set_num_threads(1)
    recipe, world = recipe or RECIPES[name], WORLDS[name]
    with (
        atomic_directory(out) as directory,
        progress(f"training {name}", total=recipe.steps, unit="steps") as advance,
    ):

        def write(model: PreTrainedModel, place: Path) -> None:
            write_model(model, place, vocabulary=world.vocabulary, n_ctx=world.n_ctx)

        def save(step: int, model: PreTrainedModel) -> None:
            write(model, directory / f"step-{step}")

        model = train_model(recipe, world, seed=seed, save=save, on_progress=advance)
        write(model, directory)
        settings = {"seed": seed, "recipe": asdict(recipe), "versions": package_versions()}
        write_json(directory / "training.json", settings)
