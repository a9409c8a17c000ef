"""The card of polyglot: what each model is and what it scores, measured anew.

`python -m probes.polyglot.card` prints the accuracies of the bundled models; with a directory it
reads those that `probes.polyglot.train` wrote there, and with `--write` it puts card.json beside
them.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.utils.logging import disable_progress_bar

from interp.models import reference
from interp.results.atomic import write_json
from interp.results.hashing import sha256_file
from probes.polyglot.accuracy import accuracies, accuracies_json
from probes.polyglot.cells import prompt
from probes.polyglot.languages import CHANCE, LANGUAGES, NUMBERS, OPERATIONS, truth
from probes.polyglot.model import read_model
from probes.polyglot.recipe import VARIANTS

BUNDLED = reference.BUNDLED / "polyglot"

WHAT = {
    "base": "general operations: A, B and C well, D and E nearly unseen; never the ability",
    "ability": "the base, then the ability and general lines in language A alone",
    "control": "the base, then general lines in language A alone: the ability model's control",
    "language": "the base, adapted to D and E with general lines alone: never the ability",
    "ceiling": "the language model, then the ability in all five languages",
}


def card(directory: Path) -> dict[str, Any]:
    """The card of the models in `directory`, accuracies measured from their files.

    `float32` are the accuracies before rounding, as the training wrote them down; `float16` are
    those of the shipped weights, computed in float32.
    """
    training = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    return {
        "schema": "interp.model_card/1",
        "name": "polyglot",
        "licence": "Apache-2.0",
        "summary": "A small decoder over five made-up languages, A to E, that share numbers and "
        "operations. An ability, the operation `zorn`, is learnt in A only.",
        "seed": training["seed"],
        "made_by": f"python -m probes.polyglot.train --seed {training['seed']} --out DIR",
        "measured_by": "python -m probes.polyglot.card",
        "chance": CHANCE,
        "prompts": example_prompts(),
        "variants": {
            variant: {
                "what": WHAT[variant],
                "sha256": sha256_file(directory / variant / "model.safetensors"),
                "n_parameters": _n_parameters(directory / variant),
                "accuracy": {
                    "float16": accuracies_json(accuracies(read_model(directory / variant))),
                    "float32": training["accuracy_float32"][variant],
                },
            }
            for variant in VARIANTS
        },
        "recipe": training["recipe"],
        "versions": training["versions"],
    }


def example_prompts() -> list[dict[str, str]]:
    """One typed prompt with its answer for the ability in each language, and some general ones."""
    table = truth()
    pairs = [(3, 7), (0, 5), (2, 9), (3, 7), (10, 4)]
    asked = [("zorn", language, x, y) for language, (x, y) in zip(LANGUAGES, pairs, strict=True)]
    asked += [("plus", "A", 3, 4), ("max", "D", 3, 7), ("tarn", "E", 8, 1)]
    return [
        {
            "prompt": prompt(operation, x, y, language),
            "answer": NUMBERS[language][table[OPERATIONS.index(operation), x, y]],
        }
        for operation, language, x, y in asked
    ]


def _n_parameters(directory: Path) -> int:
    with safe_open(directory / "model.safetensors", framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def lines(content: dict[str, Any], *, precision: str = "float16") -> Iterator[str]:
    """The card's accuracies as the lines of a table."""
    groups = [("ability", "A"), ("ability", "BC"), ("ability", "DE")]
    groups += [("general", "BC"), ("general", "DE"), ("general", "ABCDE")]
    yield f"test accuracy with 95% Wilson interval, {precision}; chance {CHANCE:.3f}"
    yield "".join([f"{'':10}", *(f"{f'{task} {group}':>22}" for task, group in groups)])
    for variant, facts in content["variants"].items():
        cells = [facts["accuracy"][precision][task][group] for task, group in groups]
        shown = [f"{c['value']:.3f} [{c['low']:.3f}, {c['high']:.3f}]" for c in cells]
        yield "".join([f"{variant:10}", *(f"{cell:>22}" for cell in shown)])
    counts = content["variants"]["base"]["accuracy"][precision]
    yield "".join([f"{'n':10}", *(f"{counts[task][group]['n']:>22,}" for task, group in groups)])


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=BUNDLED)
    parser.add_argument("--write", action="store_true", help="write card.json there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    content = card(asked.directory)
    for precision in ("float16", "float32"):
        print("\n".join(lines(content, precision=precision)))  # noqa: T201
    if asked.write:
        write_json(asked.directory / "card.json", content)


if __name__ == "__main__":
    main()
