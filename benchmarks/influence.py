"""Influence by an intervention: does training on the lines it chooses teach the ability sooner?

A corpus mixes lines of polyglot's ability in language A with general lines in all five languages.
Every line is scored against the ability's validation cells; the best quarter is trained on, beside
a random quarter, at equal steps. Printed per seed: how well the score tells ability lines from
general ones (AUROC), the share of ability lines kept, the accuracy on the ability's validation
cells, which the score has seen, and on its test cells, which it has not. The base is the shipped
one: a seed draws another corpus, another random quarter and another order of training.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.stats import rankdata

from benchmarks.harness import Benchmark
from probes.polyglot.cells import Split

SEEDS = (1, 2, 3)
N_ABILITY, N_GENERAL = 200, 600
KEEP = 0.25
STEPS = 120
SKETCH = 8192


def write_lines(path: Path, rows: Sequence[dict]) -> Path:
    """The rows as a jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def auroc(score: np.ndarray, wanted: np.ndarray) -> float:
    """How often a wanted example scores above another, ties half."""
    ranks, n = rankdata(score), int(wanted.sum())
    return float((ranks[wanted].sum() - n * (n + 1) / 2) / (n * (len(wanted) - n)))


def corpus(seed: int) -> tuple[list[dict], np.ndarray]:
    """Shuffled lines, and which of them are the ability's."""
    from probes.polyglot import ability_training, general_training

    ability = [row for row in ability_training(seed, n=4 * N_ABILITY) if "zorn" in row["prompt"]]
    rows = ability[:N_ABILITY] + general_training(seed, n=N_GENERAL, languages="ABCDE")
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[i] for i in order], order < N_ABILITY


def accuracies(path: Path, *, seed: int) -> tuple[float, float]:
    """Of the base trained on a file: on the ability's validation and test cells in A."""
    from interp.abilities.training.masked_training import TrainingRecipe, train_model
    from interp.models.examples import read_examples
    from interp.models.hub import directory_of
    from interp.models.trainable import read_trainable
    from probes.polyglot.accuracy import correct

    trained = read_trainable(directory_of("polyglot"))
    recipe = TrainingRecipe(steps=STEPS, batch_size=64, warmup=10, seed=seed)
    train_model(trained, read_examples(path, trained.tokenizer()), recipe=recipe)
    model: Any = trained.model  # a Llama, as all of polyglot
    validation, test = (
        float(correct(model, task="ability", split=split, language="A").mean())
        for split in get_args(Split)
    )
    return validation, test


def run_seed(seed: int, directory: Path) -> dict[str, float]:
    """The figures of one seed."""
    from interp.abilities.influence import influence_of, narrow
    from probes.polyglot import items

    rows, wanted = corpus(seed)
    train = write_lines(directory / "corpus.jsonl", rows)
    asked = [item for item in items("validation", languages=("A",)) if item["task"] == "ability"]
    found = influence_of(
        "polyglot", train, write_lines(directory / "asked.jsonl", asked), sketch=SKETCH, seed=seed
    )
    n_kept = narrow(found, train, directory / "narrowed.jsonl", keep=KEEP)
    kept = np.isin(np.arange(len(rows)), found.ranked()[:n_kept])
    drawn = np.random.default_rng([seed, 1]).choice(len(rows), size=n_kept, replace=False)
    random = write_lines(directory / "random.jsonl", [rows[i] for i in sorted(drawn)])
    cells = {item["prompt"] for item in asked}
    seen = np.array([row["prompt"] in cells for row in rows])
    chosen_seen, chosen_unseen = accuracies(directory / "narrowed.jsonl", seed=seed)
    random_seen, random_unseen = accuracies(random, seed=seed)
    return {
        "auroc": auroc(found.score, wanted),
        "auroc_asked_cells": auroc(found.score[seen | ~wanted], wanted[seen | ~wanted]),
        "ability_kept": float(wanted[kept].mean()),
        "ability_random": float(wanted[drawn].mean()),
        "reliability": found.reliability,
        "n_significant": float(found.n_significant()),
        "narrowed_asked": chosen_seen,
        "random_asked": random_seen,
        "narrowed_test": chosen_unseen,
        "random_test": random_unseen,
    }


def main() -> None:
    """Run every seed, print its figures and their means."""
    benchmark = Benchmark("influence", __doc__)
    benchmark.parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    asked = benchmark.parse()
    benchmark.say_settings(
        seeds=asked.seeds, lines=f"{N_ABILITY} ability, {N_GENERAL} general", keep=KEEP, steps=STEPS
    )
    runs = []
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as directory:
            runs.append(run_seed(seed, Path(directory)))
        benchmark.say(f"seed {seed}: " + ", ".join(f"{k} {v:.3f}" for k, v in runs[-1].items()))
    bars = {f"influence.{k}": float(np.mean([run[k] for run in runs])) for k in runs[0]}
    gains = [run["narrowed_asked"] - run["random_asked"] for run in runs]
    benchmark.finish({**bars, "influence.lowest_gain_asked": min(gains)})


if __name__ == "__main__":
    main()
