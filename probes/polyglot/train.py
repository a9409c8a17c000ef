"""Train the five models of polyglot: `python -m probes.polyglot.train --seed 1 --out DIR`."""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from interp.results.atomic import atomic_directory, write_json
from interp.results.progress import progress
from interp.results.provenance import package_versions
from probes.polyglot.accuracy import accuracies, accuracies_json
from probes.polyglot.family import stages, train_base, train_from
from probes.polyglot.model import write_model
from probes.polyglot.recipe import VARIANTS, Recipe

RECIPE = Recipe()
_DTYPES = {"float16": torch.float16, "float32": torch.float32}


def train_family(
    out: Path,
    *,
    seed: int,
    recipe: Recipe = RECIPE,
    dtype: str = "float16",
) -> None:
    """Write the five models as Hugging Face directories in `out`, and training.json beside them.

    training.json holds every setting and the test accuracies before the weights were rounded to
    `dtype`. One thread, so that a seed gives the same weights on the same kind of processor.
    """
    torch.set_num_threads(1)
    with atomic_directory(out) as directory:
        before_rounding = {}
        for variant, model in _models(recipe, seed=seed):
            write_model(model, directory / variant, dtype=_DTYPES[dtype])
            before_rounding[variant] = accuracies_json(accuracies(model))
        settings = {"seed": seed, "dtype": dtype, "recipe": asdict(recipe)}
        versions = package_versions()
        write_json(
            directory / "training.json",
            {**settings, "versions": versions, "accuracy_float32": before_rounding},
        )


def _models(recipe: Recipe, *, seed: int) -> Iterator[tuple[str, LlamaForCausalLM]]:
    with progress("training base", total=recipe.base.steps, unit="steps") as advance:
        base = train_base(recipe, seed=seed, on_progress=advance)
    yield "base", base
    for variant in VARIANTS[1:]:
        steps = sum(stage.steps for stage in stages(recipe, variant))
        with progress(f"training {variant}", total=steps, unit="steps") as advance:
            yield variant, train_from(base, variant, recipe, seed=seed, on_progress=advance)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dtype", choices=sorted(_DTYPES), default="float16")
    asked = parser.parse_args()
    disable_progress_bar()
    train_family(asked.out, seed=asked.seed, dtype=asked.dtype)


if __name__ == "__main__":
    main()
