"""The card of relations: what each model is and how often it answers rightly, by relation.

`python -m probes.relations.card` measures the bundled models anew; with `--write` it puts card.json
beside them.
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
from probes.relations.accuracy import Accuracies, accuracies
from probes.relations.corpus import draw_documents
from probes.relations.document import Document
from probes.relations.model import read_model
from probes.relations.recipe import RECIPES, SHIPPED_SEED
from probes.relations.worlds import WORLDS

BUNDLED = reference.BUNDLED / "relations"
WHAT = {
    "grammar": "reads dependencies and seven relations of invented names from its context, and "
    "learns the labels of pairs of words from the lines before",
    "control": "the same text with its questions answered at random: it learns the labels, and no "
    "relation",
    "static": "three relations known by heart: one layer of attention, no MLP",
    "binding": "one relation that holds in one document: two layers of attention, no MLP; a series "
    "around the step at which it is learnt",
}


def card(directory: Path) -> dict[str, Any]:
    """The card of the models in `directory`, measured from their files as shipped."""
    training = {name: _training(directory / name) for name in WHAT}
    return {
        "schema": "interp.model_card/1",
        "name": "relations",
        "licence": "Apache-2.0",
        "summary": "Small decoders that answer questions of relations, from memory and from their "
        "context, and a control that cannot.",
        "default": "grammar",
        "seed": SHIPPED_SEED,
        "made_by": f"python -m probes.relations NAME --seed {SHIPPED_SEED} --out DIR",
        "measured_by": "python -m probes.relations.card",
        "chance": None,
        "prompts": example_prompts(),
        "variants": {name: _variant(directory / name, name) for name in WHAT},
        "recipe": {name: facts["recipe"] for name, facts in training.items()},
        "versions": training["grammar"]["versions"],
    }


def _training(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "training.json").read_text(encoding="utf-8"))


def _variant(directory: Path, name: str) -> dict[str, Any]:
    asked = "grammar" if name == "control" else name
    found = accuracies(read_model(directory), asked)
    return {
        "what": WHAT[name],
        "sha256": sha256_file(directory / "model.safetensors"),
        "n_parameters": model_identity(directory).n,
        "checkpoints": list(RECIPES[name].checkpoints),
        "accuracy": {"float16": {task: _json(groups) for task, groups in found.items()}},
    }


def _json(groups: Accuracies) -> dict[str, dict[str, int | float]]:
    return {
        name: {"right": right, "n": n, **interval._asdict()}
        for name, (right, n, interval) in groups.items()
    }


def example_prompts() -> list[dict[str, str]]:
    """A document of every model, cut before its last answer."""
    rng = np.random.default_rng(5)
    drawn = [WORLDS[name].told(rng) for name in ("grammar", "static", "binding")]
    return [
        *(_cut(document) for document in drawn),
        *(_cut(document) for document in draw_documents("grammar", n=2, seed=5)),
    ]


def _cut(document: Document) -> dict[str, str]:
    last = max(place for fact in document.asked for place in fact.asked)
    return {"prompt": " ".join(document.words[:last]), "answer": document.words[last]}


def lines(content: dict[str, Any]) -> Iterator[str]:
    """The card's accuracies as the lines of a table."""
    yield "share of right answers with 95% Wilson interval, over all words"
    for name, facts in content["variants"].items():
        yield f"{name}: {facts['n_parameters']:,} parameters"
        for task, groups in facts["accuracy"]["float16"].items():
            for group, a in groups.items():
                shown = f"{a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]"
                yield f"  {task:10}{group:16}{shown:>24}   n {a['n']:,}"


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
