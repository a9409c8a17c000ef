"""The card of functions: what each sibling is, what it scores and what is known of its neurons.

`python -m probes.functions.card` measures the bundled siblings anew; with a directory those that
`python -m probes.functions` wrote there, and with `--write` it puts card.json beside them.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import disable_progress_bar

from interp.models import reference
from interp.models.identity import model_identity
from interp.results.atomic import write_json
from interp.results.hashing import sha256_file
from probes.functions.facts import Facts, measure
from probes.functions.model import read_model
from probes.functions.recipe import SIBLINGS
from probes.functions.tasks import ANSWER_START, FUNCTIONS, N_SYMBOLS, draw, text

BUNDLED = reference.BUNDLED / "functions"
WHAT = {
    "planted": "trained with a price on every neuron outside the block of the function asked: "
    "known.json holds the block and the expert of every neuron",
    "control": "the same start and data, with a price on all activation instead: about as sparse, "
    "and the blocks of known.json mean nothing in it",
}


def card(directory: Path) -> dict[str, Any]:
    """The card of the siblings in `directory`, measured from their files as shipped."""
    training = json.loads((directory / "training.json").read_text(encoding="utf-8"))
    blocks = np.array(json.loads((directory / "known.json").read_text(encoding="utf-8"))["block"])
    return {
        "schema": "interp.model_card/1",
        "name": "functions",
        "licence": "Apache-2.0",
        "summary": "Two small decoders that answer six functions of two symbols, one with planted "
        "modules and one without.",
        "default": "planted",
        "seed": training["seed"],
        "made_by": f"python -m probes.functions --seed {training['seed']} --out DIR",
        "measured_by": "python -m probes.functions.card",
        "chance": 1 / N_SYMBOLS,
        "prompts": example_prompts(),
        "variants": {
            sibling: _variant(directory / sibling, sibling, blocks) for sibling in SIBLINGS
        },
        "recipe": training["recipe"],
        "versions": training["versions"],
    }


def _variant(directory: Path, sibling: str, blocks: np.ndarray) -> dict[str, Any]:
    facts = measure(read_model(directory))
    return {
        "what": WHAT[sibling],
        "sha256": sha256_file(directory / "model.safetensors"),
        "n_parameters": model_identity(directory).n,
        "accuracy": {"float16": {"answers": _accuracies(facts)}},
        "activation_ratio": facts.activation_ratio.tolist(),
        "own_block_mass": {
            function: [None if np.isnan(share) else share for share in shares.tolist()]
            for function, shares in zip(FUNCTIONS, facts.own_mass(blocks), strict=True)
        },
    }


def _accuracies(facts: Facts) -> dict[str, dict[str, int | float]]:
    return {
        function: {"right": int(right), "n": facts.n, **interval._asdict()}
        for function, right, interval in zip(FUNCTIONS, facts.right, facts.accuracy(), strict=True)
    }


def example_prompts() -> list[dict[str, str]]:
    """One typed prompt with its answers for every function."""
    rng = np.random.default_rng(0)
    lines = [text(draw(rng, 1, function=i))[0].split() for i in range(len(FUNCTIONS))]
    cut = ANSWER_START - 1  # BOS is not typed
    return [{"prompt": " ".join(line[:cut]), "answer": " ".join(line[cut:])} for line in lines]


def lines(content: dict[str, Any]) -> Iterator[str]:
    """The card's figures as the lines of a table."""
    yield f"fresh sequences of each function; guessing gives {content['chance']:.3f}"
    for sibling, facts in content["variants"].items():
        ratio = ", ".join(f"{share:.3f}" for share in facts["activation_ratio"])
        yield f"{sibling}: {facts['n_parameters']:,} parameters, active in layers 0, 1: {ratio}"
        yield f"  {'function':12}{'accuracy':>24}{'own block, layer 0':>20}{'layer 1':>10}"
        for function, answers in facts["accuracy"]["float16"]["answers"].items():
            shown = f"{answers['value']:.4f} [{answers['low']:.4f}, {answers['high']:.4f}]"
            mass = [
                "silent" if m is None else f"{m:.3f}" for m in facts["own_block_mass"][function]
            ]
            yield f"  {function:12}{shown:>24}{mass[0]:>20}{mass[1]:>10}"


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=BUNDLED)
    parser.add_argument("--write", action="store_true", help="write card.json there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    disable_progress_bar()
    content = card(asked.directory)
    print("\n".join(lines(content)))  # noqa: T201
    if asked.write:
        write_json(asked.directory / "card.json", content)


if __name__ == "__main__":
    main()
