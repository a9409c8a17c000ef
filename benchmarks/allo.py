"""Alignment on polyglot over seeds: does forgetting then learning correct more than plain DPO?

A policy is taught the ability with 30% of its cells wrong, in language A. Preference pairs hold
right and wrong answers in A, wrong as the policy errs where it does; a rewriting model, trained on
other cells and other errors, says which tokens are to blame. Every arm has the same number of
updates: the warm-up that finds a mask and the forgetting stage count. Each has two learning rates;
the 40 validation cells choose, and the 81 test cells are what is reported. In A all cells are in
the pairs, so correcting there is learning; in B to E none are. How long to forget, and that
learning takes the least fallen tokens, was chosen on validation cells of seed 4, which is not among
the default seeds; the other reading is an arm of its own. Two seeds run side by side, one thread
each.
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

from benchmarks.allo_arms import (
    ARMS,
    BATCH,
    BUDGET,
    FORGET,
    RATES,
    SHARES,
    WARMUP,
    Figures,
    run_seed,
)
from benchmarks.families import seed_directory
from benchmarks.harness import Benchmark
from interp.results.atomic import write_json
from interp.results.intervals import mean_t
from interp.results.significance import holm, paired_t, sign_flip

SEEDS = (1, 2, 3)
SIDE_BY_SIDE = 2
DIFFERENCES = {
    "staged_minus_dpo": ("staged", "dpo"),
    "staged_most_minus_dpo": ("staged_most", "dpo"),
    "learning_minus_dpo": ("select", "dpo"),
    "forgetting_minus_dpo": ("forget", "dpo"),
    "staged_minus_no_selection": ("staged", "forget"),
    "staged_minus_no_forgetting": ("staged", "select"),
    "truth_minus_rewriter": ("staged_truth", "staged"),
    "rewriter_minus_no_weights": ("staged", "staged_none"),
    "dpo_change_minus_dpo": ("dpo_change", "dpo"),
    "dpo_change_minus_random": ("dpo_change", "dpo_random"),
    "staged_change_minus_staged": ("staged_change", "staged"),
    "staged_change_minus_random": ("staged_change", "staged_random"),
    "staged_change_minus_bottom": ("staged_change", "staged_bottom"),
    "staged_change_minus_released": ("staged_change", "released"),
}
COLUMNS = {
    "fixed_A": "corrected A",
    "fixed_BC": "corrected B, C",
    "fixed_DE": "corrected D, E",
    "kept_A": "right kept A",
    "general": "general",
    "kl": "KL, nats",
    "mask_share": "mask",
}
WEIGHTS = ("precision", "recall", "base_rate", "weighted")


def cached_seed(seed: int, cache: Path) -> Figures:
    """`run_seed` in a process of its own, or what it wrote before."""
    result = result_of(seed, cache)
    if not result.exists():
        command = [sys.executable, "-m", "benchmarks.allo", "--one", str(seed)]
        alone = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([*command, "--cache", str(cache)], check=True, env=alone, stdout=sys.stderr)
    return json.loads(result.read_text(encoding="utf-8"))


def result_of(seed: int, cache: Path) -> Path:
    """Where a seed's figures are kept: by this script, the task and the stages' code."""
    import benchmarks.allo_arms as arms
    import interp.abilities.allo as allo
    import probes.polyglot.preferences as task

    code = [
        Path(__file__),
        Path(arms.__file__),
        Path(task.__file__),
        *sorted(Path(allo.__file__).parent.glob("*.py")),
    ]
    content = b"".join(file.read_bytes() for file in code)
    name = hashlib.sha256(content).hexdigest()[:12]
    return seed_directory(seed, cache) / "allo" / name / "figures.json"


def one_seed(seed: int, cache: Path) -> None:
    """Run one seed in this process and write its figures."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    torch.set_num_threads(1)
    disable_progress_bar()
    result = result_of(seed, cache)
    result.parent.mkdir(parents=True, exist_ok=True)
    write_json(result, run_seed(seed, result.parent, cache))


def values_of(runs: Sequence[Figures], arm: str, column: str) -> np.ndarray:
    """One arm's figure in a column, one value a seed."""
    return np.array([run["arms"][arm][column] for run in runs])


def table(runs: Sequence[Figures]) -> list[str]:
    """One line an arm: mean over seeds and 95% t-interval of every column, and the rates chosen."""
    lines = [f"{'':32}" + "".join(f"{title:>23}" for title in COLUMNS.values()) + "  rates"]
    start = [mean_t(np.array([run["start"].get(c, np.nan) for run in runs])) for c in COLUMNS]
    lines.append(f"{'policy, before':32}" + "".join(f"{c!s:>23}" for c in start[:-1]))
    for key, arm in ARMS.items():
        cells = [f"{mean_t(values_of(runs, key, column))!s:>23}" for column in COLUMNS]
        rates = " ".join(f"{rate:g}" for rate in values_of(runs, key, "rate"))
        lines.append(f"{arm.title:32}" + "".join(cells) + f"  {rates}")
    return lines


def rate_lines(runs: Sequence[Figures]) -> list[str]:
    """Every arm at both of its rates: what the choice was between, over seeds."""
    lines = [f"{'both rates, means over seeds':32}" + f"{'corrected A, general, KL':>48}" * 2]
    for key, arm in ARMS.items():
        cells = []
        for place, rate in enumerate(RATES["masked" if arm.mask else "all"]):
            tried = [run["arms"][key]["tried"][place] for run in runs]
            means = [np.mean([t[column] for t in tried]) for column in ("fixed_A", "general", "kl")]
            cells.append(f"{rate:g}: " + ", ".join(f"{mean:.3f}" for mean in means))
        lines.append(f"{arm.title:32}" + "".join(f"{cell:>48}" for cell in cells))
    return lines


def weight_lines(runs: Sequence[Figures]) -> list[str]:
    """Precision and recall of every kind of token weights, with what chance would give."""
    lines = [f"{'token weights':32}" + "".join(f"{name:>23}" for name in WEIGHTS)]
    for kind in runs[0]["weights"]:
        cells = [mean_t(np.array([run["weights"][kind][name] for run in runs])) for name in WEIGHTS]
        lines.append(f"{kind:32}" + "".join(f"{cell!s:>23}" for cell in cells))
    return lines


def difference_lines(runs: Sequence[Figures]) -> list[str]:
    """Paired differences in A's corrected cells and in drift; p of a paired t-test, and by Holm."""
    by_name = {
        name: {c: values_of(runs, a, c) - values_of(runs, b, c) for c in ("fixed_A", "kl")}
        for name, (a, b) in DIFFERENCES.items()
    }
    p = np.array([paired_t(columns["fixed_A"]) for columns in by_name.values()])
    adjusted = holm(np.nan_to_num(p, nan=1.0))
    return [
        f"  {name:30} corrected A {mean_t(columns['fixed_A'])}  p {own:.3f}, Holm {after:.3f}, "
        f"exact {sign_flip(columns['fixed_A']):.3f}  KL {mean_t(columns['kl'])}"
        for (name, columns), own, after in zip(by_name.items(), p, adjusted, strict=True)
    ]


def main() -> None:
    """Run or read every seed, print the tables, end with the JSON line."""
    benchmark = Benchmark("allo", __doc__)
    benchmark.parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    benchmark.parser.add_argument("--one", type=int, help="run one seed in this process and stop")
    asked = benchmark.parse()
    if asked.one is not None:
        one_seed(asked.one, asked.cache)
        return
    benchmark.say_settings(
        seeds=asked.seeds, updates=BUDGET, warm_up=WARMUP, forgetting=FORGET, pairs_an_update=BATCH,
        rates=RATES, shares=SHARES, cache=asked.cache,
    )  # fmt: skip
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = list(pool.map(lambda seed: cached_seed(seed, asked.cache), asked.seeds))
    benchmark.say(f"mean over {len(runs)} seeds [95% t-interval]; chance of a right word 0.091")
    for line in [*table(runs), *rate_lines(runs), *weight_lines(runs)]:
        benchmark.say(line)
    benchmark.say(f"paired by seed, p corrected for the {len(DIFFERENCES)} differences")
    for line in difference_lines(runs):
        benchmark.say(line)
    benchmark.finish(bars_of(runs))


def bars_of(runs: Sequence[Figures]) -> dict[str, float]:
    """The figures that the claims rest on."""
    over = values_of(runs, "staged", "fixed_A") - values_of(runs, "dpo", "fixed_A")
    drift = values_of(runs, "staged_change", "kl") / values_of(runs, "staged", "kl")
    bars = {"allo.over_dpo": float(over.min()), "allo.over_dpo_mean": float(over.mean())}
    bars["allo.drift_ratio"] = float(np.median(drift))
    for key in ARMS:
        bars[f"allo.{key}"] = float(values_of(runs, key, "fixed_A").mean())
    for name in ("precision", "recall", "base_rate"):
        bars[f"allo.weights_{name}"] = float(
            np.mean([run["weights"]["unaligned"][name] for run in runs])
        )
    bars["allo.seeds"] = len(runs)
    return bars


if __name__ == "__main__":
    main()
