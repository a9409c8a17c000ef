"""Transfer over seeds: what each part of MAET is worth, beside plain addition and more training.

For every seed the family of polyglot is trained (the shipped one is taken as it is) and from it
every donor: ability and control at two rates and under masks, continued training with and without
replay. Every method has 160 settings, chosen on the same validation cells under the same budget of
general accuracy; the test cells are asked once. Printed: ability in the target languages D and E
beside general accuracy and harm, mean over seeds with a 95% t-interval and every seed, ability
against harm at several budgets, and differences paired by seed with Holm. `--search` looks, with a
second ability that is arithmetic, for any mask, level, selection or beta that beats plain addition.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.families import family, seed_directory
from benchmarks.harness import Benchmark
from benchmarks.transfer import report
from interp.results.hashing import sha256_json
from interp.results.intervals import mean_t

SIDE_BY_SIDE = 2
TABLE = ("table", "table")
SEARCHES = (("table", "search"), ("arithmetic", "search"))
"""Ability and set of methods."""


def run_one(seed: int, rule: str, group: str, cache: Path) -> None:
    """One seed of one ability in this process; its figures are kept."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from benchmarks.transfer import rows
    from benchmarks.transfer.donors import Donors
    from benchmarks.transfer.seed import run
    from interp.results.atomic import write_json

    torch.set_num_threads(1)
    disable_progress_bar()
    place = place_of(seed, cache)
    donors = Donors(
        family(seed, cache),
        place / "donors",
        seed=seed,
        rule=rule,  # pyright: ignore[reportArgumentType]
    )
    if group == "search":
        methods = rows.search_methods(donors)
        methods += [m for m in rows.fixed_methods(donors) if m.key == "language"]
    else:
        methods = [
            *rows.fixed_methods(donors),
            *rows.tuned_methods(donors),
            *rows.selection_methods(donors),
        ]
    kept = place / "figures" / rule
    kept.mkdir(parents=True, exist_ok=True)
    figures = run(methods, donors, kept, said=lambda line: print(line, file=sys.stderr, flush=True))
    write_json(_result(seed, rule, group, cache), figures)


def place_of(seed: int, cache: Path) -> Path:
    """Where a seed's donors and figures are kept, by the settings they depend on.

    Another version of the code is not noticed: give another --cache.
    """
    from benchmarks.transfer import donors, rows
    from benchmarks.transfer import seed as of_seed

    content = [donors.settings(), rows.N_SETTINGS, of_seed.BUDGETS]
    return seed_directory(seed, cache) / "transfer" / sha256_json(content)[:12]


def figures_of(seed: int, rule: str, group: str, cache: Path) -> dict:
    """A seed's figures, in a process of its own if they are not there yet."""
    result = _result(seed, rule, group, cache)
    if not result.exists():
        asked = [str(seed), rule, group]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.transfer", "--one", *asked, "--cache", str(cache)],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdout=sys.stderr,
        )
    return json.loads(result.read_text(encoding="utf-8"))


def _result(seed: int, rule: str, group: str, cache: Path) -> Path:
    return place_of(seed, cache) / f"{rule}-{group}.json"


def main() -> None:
    """Train or read every seed, print the tables, end with the JSON line."""
    benchmark = Benchmark("transfer", __doc__)
    parser = benchmark.parser
    parser.add_argument("--seeds", type=int, default=3, help="how many: 1 (shipped) and on")
    parser.add_argument("--search", action="store_true", help="look for what beats plain addition")
    parser.add_argument("--one", nargs=3, metavar=("SEED", "ABILITY", "GROUP"), help="internal")
    asked = benchmark.parse()
    if asked.one is not None:
        run_one(int(asked.one[0]), asked.one[1], asked.one[2], asked.cache)
        return
    seeds = range(1, asked.seeds + 1)
    benchmark.say_settings(seeds=list(seeds), search=asked.search, cache=asked.cache)
    jobs: list[tuple[int, str, str]] = [(seed, *TABLE) for seed in seeds]
    if asked.search:
        jobs += [(seed, rule, group) for rule, group in SEARCHES for seed in seeds]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        done = list(pool.map(lambda job: figures_of(job[0], job[1], job[2], asked.cache), jobs))
    found = dict(zip(jobs, done, strict=True))
    runs = [found[seed, *TABLE] for seed in seeds]
    for part in (report.table, report.curves):
        for line in part(runs):
            benchmark.say(line)
    benchmark.say(
        "differences paired by seed, mean [95% t-interval]; p by t-test, Holm over all; exact p by "
        "sign flips"
    )
    for line in report.differences(runs):
        benchmark.say(line)
    if asked.search:
        for group in SEARCHES:
            of_group = [found[seed, *group] for seed in seeds]
            keys = [key for key in of_group[0] if key not in ("plain_addition", "language")]
            benchmark.say(f"search, ability as {group[0]}:")
            for line in report.search_report(of_group, keys):
                benchmark.say(line)
    benchmark.finish(bars(runs))


def bars(runs: report.Runs) -> dict[str, float]:
    """The figures of the JSON line; over_parts, general and located_over_parts by lowest seed."""
    parts = report.better_part(runs)

    def of(key: str, column: str = "ability_DE") -> np.ndarray:
        return report.values(runs, key, column)

    located = of("maet") - of("random_entries")
    subtraction = of("plain_analogy") - of("plain_addition")
    return {
        "transfer.over_parts": float((of("sum_untuned") - parts).min()),
        "transfer.general": float(of("sum_untuned", "general").min()),
        "transfer.located_over_parts": float((of("maet") - parts).min()),
        "transfer.tuned_sum": mean_t(of("plain_addition")).value,
        "transfer.located_minus_random": mean_t(located).value,
        "transfer.located_minus_random_low": mean_t(located).low,
        "transfer.located_minus_random_high": mean_t(located).high,
        "transfer.beta1_minus_beta0": mean_t(subtraction).value,
        "transfer.beta1_minus_beta0_low": mean_t(subtraction).low,
        "transfer.beta1_minus_beta0_high": mean_t(subtraction).high,
        "transfer.seeds": len(runs),
    }


if __name__ == "__main__":
    main()
