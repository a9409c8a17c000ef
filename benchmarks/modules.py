"""Does a model have modules? The planted siblings of functions and their controls, over seeds.

Six functions, two layers of 192 neurons. In the planted sibling each function has a block of 32
neurons a layer, by its training; the split used here is that known one, two experts of 16 a block,
and in the control, where nothing was planted, it is an arbitrary one. Splits found from weights and
from activity stand beside it.

Reported for every seed and sibling: the share of neurons that detect a function at a false
discovery rate of 0.05, beside the same with shuffled labels; how many of the six functions have a
functional expert in layer 1 (p at most 0.001 over all neurons, and by false discovery rate); the
accuracy that a function loses on fresh sequences when its two experts a layer, chosen by score, are
set to their mean in both layers, what the other functions lose, and what random neurons of equal
number cost. Over checkpoints, how far the scores of one agree with those of the next, for experts,
neurons and random splits, and partitions from weights beside their agreement between seeds of one
checkpoint: reported, and held to nothing, for they do not tell the siblings apart.

The shipped seed comes with the package; others are trained into the cache, two minutes each on an
idle core. Thresholds, lines and seeds were fixed before the first training.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from statistics import mean

import numpy as np

from benchmarks.harness import Benchmark
from benchmarks.modules_figures import Figures, figures_of
from benchmarks.modules_models import SIBLINGS, Sibling, Trained, siblings_of
from benchmarks.modules_runs import (
    CHOSEN,
    FDR,
    FRACTION,
    N_ASKED,
    N_EXPERTS,
    N_SCORED,
    RANDOM_DRAWS,
    RULE,
)
from benchmarks.modules_stability import LEVELS, STEPS, Stable, stability_of
from interp.results.intervals import mean_t
from probes.functions.train import RECIPE

SEEDS = (0, 1, 2, 3, 4)
SIDE_BY_SIDE = 2
EARLY = (200, 400)
"""Steps over which experts are published to be ahead of neurons."""
Table = dict[tuple[int, Sibling], Figures]


def gathered(
    models: Sequence[Trained], *, jobs: int, say: Callable[[str], None]
) -> tuple[Table, dict[tuple[int, Sibling], Stable]]:
    """Figures and stability of every model, some side by side."""
    figures: Table = {}
    stable: dict[tuple[int, Sibling], Stable] = {}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        told = [(m, pool.submit(figures_of, m), pool.submit(stability_of, m)) for m in models]
        for model, found, series in told:
            figures[model.seed, model.sibling] = found.result()
            stable[model.seed, model.sibling] = series.result()
            say(f"  measured seed {model.seed}, {model.sibling}")
    return figures, stable


def specialised_lines(table: Table) -> list[str]:
    """Neurons: who detects a function, and how well, by layer."""
    lines = [
        f"{'':16}{'neurons that detect a function':^40}{'best AP, mean of functions':^30}",
        f"{'':16}{'layer 0':>10}{'shuffled':>10}{'layer 1':>10}{'shuffled':>10}"
        f"{'layer 1':>12}{'step 0':>9}{'shuffled':>9}{'active':>9}",
    ]
    for (seed, sibling), f in table.items():
        shares = "".join(
            f"{f['specialised'][layer]:>10.3f}{f['shuffled_specialised'][layer]:>10.3f}"
            for layer in (0, 1)
        )
        best = f"{f['best'][1]:>12.3f}{f['best_untrained'][1]:>9.3f}{f['best_shuffled'][1]:>9.3f}"
        lines.append(f"seed {seed} {sibling:9}{shares}{best}{f['active'][1]:>9.3f}")
    return lines


def expert_lines(table: Table) -> list[str]:
    """Experts: how many functions have one, and what functions lose without theirs."""
    lines = [
        f"{'':16}{'functions with an expert':^26}{'accuracy lost, known split':^38}"
        f"{'own minus other':^38}",
        f"{'':16}{'p <= .001':>10}{'FDR':>6}{'own block':>10}{'own':>10}{'other':>8}{'random':>8}"
        f"{'ratio':>8}{'known':>20}{'activity':>10}{'weights':>10}",
    ]
    for (seed, sibling), f in table.items():
        known = f["known"]
        interval = f"{known['minus']:.3f} [{known['low']:.3f}, {known['high']:.3f}]"
        lines.append(
            f"seed {seed} {sibling:9}{f['functional']:>8} of 6{f['functional_fdr']:>3}"
            f"{f['picks_own_block']:>10.2f}{known['own']:>10.3f}{known['other']:>8.3f}"
            f"{known['random']:>8.3f}{known['own'] / max(known['random'], 1e-9):>8.1f}"
            f"{interval:>22}{f['activity']['minus']:>8.3f}{f['weights']['minus']:>10.3f}"
        )
    return lines


def bars_of(table: Table) -> dict[str, float]:
    """The figures that claims rest on: the worst seed of each.

    `own_over_random` is the lowest ratio of mean own loss to mean loss under random neurons.
    """

    def of(sibling: Sibling, value: Callable[[Figures], float]) -> list[float]:
        return [value(f) for (_, s), f in table.items() if s == sibling]

    bars = {
        "modules.functional": min(of("planted", lambda f: f["functional"])),
        "modules.control_functional": max(of("control", lambda f: f["functional"])),
        "modules.own_minus_other": min(of("planted", lambda f: f["known"]["minus"])),
        "modules.control_own_minus_other": max(of("control", lambda f: f["known"]["minus"])),
        "modules.own_over_random": min(
            of("planted", lambda f: f["known"]["own"] / max(f["known"]["random"], 1e-9))
        ),
    }
    for sibling in SIBLINGS:
        prefix = "modules." if sibling == "planted" else "modules.control_"
        bars[f"{prefix}specialised"] = mean(of(sibling, lambda f: mean(f["specialised"])))
        bars[f"{prefix}specialised_shuffled"] = mean(
            of(sibling, lambda f: mean(f["shuffled_specialised"]))
        )
    return bars | {"modules.seeds": len({seed for seed, _ in table})}


def stability_lines(stable: dict[tuple[int, Sibling], Stable]) -> list[str]:
    """Agreement of one checkpoint's scores with the next one's, means over seeds."""
    return [line for sibling in SIBLINGS for line in _of_sibling(stable, sibling)]


def _of_sibling(stable: dict[tuple[int, Sibling], Stable], sibling: Sibling) -> list[str]:
    found = [s for (_, name), s in stable.items() if name == sibling]
    lines = [
        f"{sibling}: means over {len(found)} seeds, from each step to the next",
        f"{'':12}" + "".join(f"{f'L{layer} {t}':>11}" for layer in (0, 1) for t in LEVELS.values()),
    ]
    for row, step in enumerate(STEPS[:-1]):
        cells = [mean(s[level][layer][row] for s in found) for layer in (0, 1) for level in LEVELS]
        lines.append(f"  step {step:<5}" + "".join(f"{cell:>11.3f}" for cell in cells))
    early = [row for row, step in enumerate(STEPS[:-1]) if EARLY[0] <= step <= EARLY[1]]
    for layer in (0, 1):
        above = [
            mean(s["expert"][layer][row] - s["neuron"][layer][row] for row in early) for s in found
        ]
        lines.append(
            f"  layer {layer}, steps {EARLY[0]} to {EARLY[1]}: expert minus neuron "
            f"{mean_t(np.array(above))} over seeds, each {', '.join(f'{a:.2f}' for a in above)}"
        )
    return lines


def main() -> None:
    """Train or read every model, measure, print, end with the JSON line."""
    benchmark = Benchmark("modules", __doc__)
    benchmark.parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    benchmark.parser.add_argument(
        "--jobs", type=int, default=SIDE_BY_SIDE, help="models measured at once, a thread each"
    )
    asked = benchmark.parse()
    benchmark.say_settings(
        seeds=asked.seeds,
        recipe=asdict(RECIPE),
        scored=f"{N_SCORED} sequences a function against as many of the others, max over answers",
        asked=f"{N_ASKED} fresh sequences a function, 8 answers each",
        experts=f"{N_EXPERTS} a layer, {CHOSEN} a function; {FRACTION} of the neurons are its best",
        rules=f"{RULE} (p <= 0.001) for the bars, FDR {FDR} beside; {RANDOM_DRAWS} random draws",
        cache=asked.cache,
    )
    models = [m for s in asked.seeds for m in siblings_of(s, asked.cache, say=benchmark.say)]
    figures, stable = gathered(models, jobs=asked.jobs, say=benchmark.say)
    for lines in (specialised_lines(figures), expert_lines(figures), stability_lines(stable)):
        benchmark.say("\n" + "\n".join(lines))
    benchmark.finish(bars_of(figures))


if __name__ == "__main__":
    main()
