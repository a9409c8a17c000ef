"""Polyglot over seeds: does adding ability and language weights give what neither part has?

For every seed the five models are trained anew by their recipe; entries are located by a short
training, two masked models are trained (located 20%, random with the same count per tensor), every
method's scales are chosen on one grid and one validation split, and the test split is asked once.
Printed: accuracy in the target languages D and E and on general operations, mean over seeds with
a 95% t-interval, and differences paired by seed. Two seeds run side by side, one thread each.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.families import seed_directory
from benchmarks.harness import Benchmark
from interp.results.atomic import write_json
from interp.results.intervals import mean_t

SEEDS = (1, 2, 3, 4)
SHARE = 0.2
TARGETS = ("D", "E")
SIDE_BY_SIDE = 2
RANDOM_MASK_SEED = 11

ARMS = {
    "base": "base",
    "language_model": "language model alone",
    "ability_model": "ability model alone",
    "task_arithmetic_untuned": "sum of both vectors, scales 1",
    "task_arithmetic": "sum of both vectors, tuned",
    "transfer": f"located {SHARE:.0%}, tuned",
    "random_neurons": f"random {SHARE:.0%}, tuned",
    "plain_analogy_untuned": "plain analogy, scales 1",
    "plain_analogy": "plain analogy, tuned",
    "ceiling": "ceiling",
}
DIFFERENCES = {
    "sum_minus_language": ("task_arithmetic", "language_model"),
    "sum_minus_ability": ("task_arithmetic", "ability_model"),
    "untuned_sum_minus_language": ("task_arithmetic_untuned", "language_model"),
    "untuned_sum_minus_ability": ("task_arithmetic_untuned", "ability_model"),
    "located_minus_language": ("transfer", "language_model"),
    "located_minus_ability": ("transfer", "ability_model"),
    "located_minus_random": ("transfer", "random_neurons"),
    "located_minus_sum": ("transfer", "task_arithmetic"),
}
COLUMNS = {"target": "ability in D, E", "general": "general, mean of five"}

Figures = dict[str, dict[str, float]]


def run_seed(seed: int, directory: Path) -> Figures:
    """Accuracies of every arm, by column, for one seed; models and masks stay in `directory`."""
    from interp.abilities.comparator import Scales
    from interp.abilities.extract import extract
    from interp.abilities.locate import locate
    from interp.abilities.masked_training import TrainingRecipe, train_ability
    from interp.abilities.random_mask import random_like
    from interp.abilities.verify import Candidates, verify
    from probes.polyglot import write_data
    from probes.polyglot.train import train_family

    models, data = directory / "models", directory / "data"
    if not models.exists():
        train_family(models, seed=seed)
    write_data(data, seed=seed)
    examples = data / "ability.jsonl"
    located = locate(models / "base", examples, share=SHARE, split_halves=False)
    masks = {"located": located, "random": random_like(located, seed=RANDOM_MASK_SEED + seed)}
    weights = {}
    for name, mask in masks.items():
        trained = train_ability(
            models / "base",
            examples,
            directory / "trained" / name,
            mask=mask,
            recipe=TrainingRecipe(seed=seed),
            overwrite=True,
        )
        out = directory / "weights" / name
        weights[name] = extract(models / "base", trained, out, mask=mask, cast=True, overwrite=True)
    candidates = Candidates(
        base=models / "base",
        ability_model=models / "ability",
        language_model=models / "language",
        control=models / "control",
        ceiling=models / "ceiling",
        weights=weights["located"],
        random_weights=weights["random"],
    )
    items = [data / "validation.jsonl", data / "test.jsonl"]
    asked = {"ability_task": "ability", "targets": TARGETS, "seed": seed}
    tuned = verify(candidates, items, **asked)
    untuned = verify(candidates, items, settings=[Scales(1.0, 1.0)], **asked)
    figures: Figures = {}
    for column in COLUMNS:
        figures[column] = {row.key: tuned.cell(row.key, column).value for row in tuned.rows}
        for key in ("task_arithmetic", "plain_analogy"):
            figures[column][f"{key}_untuned"] = untuned.cell(key, column).value
    return figures


def cached_seed(seed: int, cache: Path) -> Figures:
    """`run_seed` in a process of its own, or what it wrote before."""
    directory, name = place_of(seed, cache)
    result = directory / name
    if not result.exists():
        command = [sys.executable, "-m", "benchmarks.polyglot", "--one", str(seed)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run(
            [*command, "--cache", str(cache)], check=True, env=environment, stdout=sys.stderr
        )
    return json.loads(result.read_text(encoding="utf-8"))


def place_of(seed: int, cache: Path) -> tuple[Path, str]:
    """A seed's directory, by what its models depend on, and the name of its figures, by the rest.

    Another version of the code that locates and merges is not noticed: give another --cache.
    """
    script = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    return seed_directory(seed, cache), f"figures-{script}.json"


def one_seed(seed: int, cache: Path) -> None:
    """Run one seed in this process and write its figures."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    torch.set_num_threads(1)
    disable_progress_bar()
    directory, name = place_of(seed, cache)
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / name, run_seed(seed, directory))


def table(runs: Sequence[Figures]) -> list[str]:
    """One line an arm: mean over seeds and 95% t-interval of every column, and the range."""
    lines = [f"{'':32}" + "".join(f"{title:>34}" for title in COLUMNS.values())]
    for arm, title in ARMS.items():
        cells = []
        for column in COLUMNS:
            values = np.array([run[column][arm] for run in runs])
            cells.append(f"{mean_t(values)}  {values.min():.2f}-{values.max():.2f}")
        lines.append(f"{title:32}" + "".join(f"{cell:>34}" for cell in cells))
    return lines


def paired(runs: Sequence[Figures], column: str) -> dict[str, np.ndarray]:
    """Every difference of DIFFERENCES, one value a seed."""
    return {
        name: np.array([run[column][first] - run[column][second] for run in runs])
        for name, (first, second) in DIFFERENCES.items()
    }


def main() -> None:
    """Train or read every seed, print the table, end with the JSON line."""
    benchmark = Benchmark("polyglot", __doc__)
    benchmark.parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    benchmark.parser.add_argument("--one", type=int, help="run one seed in this process and stop")
    asked = benchmark.parse()
    if asked.one is not None:
        one_seed(asked.one, asked.cache)
        return
    benchmark.say_settings(
        seeds=asked.seeds, share=SHARE, targets=", ".join(TARGETS), cache=asked.cache
    )
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = list(pool.map(lambda seed: cached_seed(seed, asked.cache), asked.seeds))
    benchmark.say(f"mean over {len(runs)} seeds [95% t-interval]  range; chance {1 / 11:.3f}")
    for line in table(runs):
        benchmark.say(line)
    benchmark.say("differences paired by seed, mean [95% t-interval], not corrected for their n")
    bars = {f"polyglot.{arm}": mean_t(values_of(runs, "target", arm)).value for arm in ARMS}
    for name, values in paired(runs, "target").items():
        general = mean_t(paired(runs, "general")[name])
        benchmark.say(f"  {name:28} D, E {mean_t(values)}  general {general}")
        bars[f"polyglot.{name}"] = float(values.mean())
    bars["polyglot.located_general_minus_language"] = float(
        paired(runs, "general")["located_minus_language"].mean()
    )
    bars["polyglot.seeds"] = len(runs)
    benchmark.finish(bars)


def values_of(runs: Sequence[Figures], column: str, arm: str) -> np.ndarray:
    """One arm's accuracy in a column, one value a seed."""
    return np.array([run[column][arm] for run in runs])


if __name__ == "__main__":
    main()
