"""What the seeds say together: tables, differences paired by seed, and the search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.transfer.seed import BUDGETS, MAIN_BUDGET
from interp.results.intervals import mean_t
from interp.results.significance import MAX_SIGN_FLIPS, holm, paired_t, sign_flip

Runs = Sequence[Mapping[str, Any]]
"""Figures by method key, one for every seed."""

SHOWN = ("ability_DE", "ability_BC", "ability_A", "general", "worst")
PARTS = ("language", "ability_0.0003", "ability_0.001")
CURVES = ("plain_addition", "everywhere", "maet", "random_entries", "continued", "replayed")
PAIRS = {
    "tuned sum - language model": ("plain_addition", "language"),
    "tuned sum - ability model": ("plain_addition", "ability_0.0003"),
    "untuned sum - language model": ("sum_untuned", "language"),
    "untuned sum - ability model": ("sum_untuned", "ability_0.0003"),
    "whole method, all entries - tuned sum": ("everywhere", "plain_addition"),
    "located 20% - tuned sum": ("maet", "plain_addition"),
    "located - random entries": ("maet", "random_entries"),
    "beta 1 - beta 0, all entries": ("plain_analogy", "plain_addition"),
    "beta 1 - beta 0, located": ("full_subtraction", "no_subtraction"),
    "least similar - no selection": ("maet", "no_selection"),
    "least - most similar": ("maet", "most"),
    "least similar - random, same types": ("maet", "random_tensors"),
    "language weights - none": ("maet", "no_language"),
    "tuned sum - continued training": ("plain_addition", "continued_model"),
    "tuned sum - continued with replay": ("plain_addition", "replayed_model"),
    "tuned sum - TIES": ("plain_addition", "ties"),
    "3 of 4 layers: least - random": ("least_3_layers", "random_3_layers"),
    "3 of 4 layers: least - most": ("least_3_layers", "most_3_layers"),
    "2 of 4 layers: least - random": ("least_2_layers", "random_2_layers"),
    "2 of 4 layers: least - most": ("least_2_layers", "most_2_layers"),
}


class Difference(NamedTuple):
    """A difference paired by seed."""

    values: Float[np.ndarray, " seeds"]
    p: float
    """Two-sided t-test over seeds; NaN where it has none, see `paired_t`."""
    exact: float
    """Of all sign patterns, see `sign_flip`; NaN for more seeds than it counts."""


def values(
    runs: Runs, key: str, column: str, budget: float = MAIN_BUDGET
) -> Float[np.ndarray, " seeds"]:
    """One test column of a method, a value a seed; `harm` is the language model's general less."""
    if column == "harm":
        return values(runs, "language", "general") - values(runs, key, "general", budget)
    budgets = [run[key]["budgets"] for run in runs]
    return np.array([(b.get(str(budget)) or b[str(MAIN_BUDGET)])["test"][column] for b in budgets])


def better_part(runs: Runs) -> Float[np.ndarray, " seeds"]:
    """Ability in D and E of the best of language model and ability models, seed by seed."""
    return np.max([values(runs, key, "ability_DE") for key in PARTS], axis=0)


def paired(first: np.ndarray, second: np.ndarray) -> Difference:
    """first - second with its tests."""
    difference = first - second
    exact = sign_flip(difference) if len(difference) <= MAX_SIGN_FLIPS else float("nan")
    return Difference(difference, paired_t(difference), exact)


def table(runs: Runs) -> Iterator[str]:
    """One line a method: mean and 95% t-interval over seeds, and every seed's ability in D, E."""
    yield f"{'method (settings)':44}{'ability D,E':>22}  by seed" + "".join(
        f"{name:>12}" for name in (*SHOWN[1:], "harm")
    )
    for key, figures in runs[0].items():
        ability = values(runs, key, "ability_DE")
        title = f"{figures['title']} ({figures['n_settings']})"
        by_seed = " ".join(f"{value:.2f}" for value in ability)
        others = [values(runs, key, column).mean() for column in (*SHOWN[1:], "harm")]
        met = [run[key]["budgets"][str(MAIN_BUDGET)]["meets_budget"] for run in runs]
        note = "" if all(met) else f"  misses the budget in {met.count(False)} of {len(met)}"
        cells = "".join(f"{value:12.3f}" for value in others)
        yield f"{title:44}{mean_t(ability)!s:>22}  {by_seed}{cells}{note}"


def curves(runs: Runs) -> Iterator[str]:
    """Ability in D, E / harm, as tested, at every budget of harm on validation."""
    yield f"{'ability / harm at a budget of':32}" + "".join(f"{b:>16g}" for b in BUDGETS)
    for key in CURVES:
        cells = [
            f"{values(runs, key, 'ability_DE', b).mean():.3f}/"
            f"{values(runs, key, 'harm', b).mean():+.3f}"
            for b in BUDGETS
        ]
        yield f"{runs[0][key]['title']:32}" + "".join(f"{cell:>16}" for cell in cells)


def differences(runs: Runs) -> Iterator[str]:
    """Every comparison of PAIRS, Holm over all of them."""
    known = {name: pair for name, pair in PAIRS.items() if all(key in runs[0] for key in pair)}
    found = {
        name: paired(values(runs, a, "ability_DE"), values(runs, b, "ability_DE"))
        for name, (a, b) in known.items()
    }
    corrected = holm(np.nan_to_num(np.array([one.p for one in found.values()]), nan=1.0))
    for (name, one), p in zip(found.items(), corrected, strict=True):
        first, second = known[name]
        general = mean_t(values(runs, first, "general") - values(runs, second, "general"))
        yield (
            f"  {name:40} D,E {mean_t(one.values)}  p {one.p:.4f}  Holm {p:.4f}  "
            f"exact {one.exact:.4f}  general {general}"
        )


def search_report(runs: Runs, keys: Sequence[str]) -> Iterator[str]:
    """Where any method beats plain addition at the same budget: found on half, asked on half."""
    half = len(runs) // 2
    found: dict[tuple[str, float], np.ndarray] = {}
    yield f"{'method - plain addition at a budget of':36}" + "".join(f"{b:>22g}" for b in BUDGETS)
    for key in keys:
        cells = []
        for budget in BUDGETS:
            gap = values(runs, key, "ability_DE", budget) - values(
                runs, "plain_addition", "ability_DE", budget
            )
            found[key, budget] = gap
            cells.append(f"{mean_t(gap)!s:>22}")
        yield f"{runs[0][key]['title']:36}" + "".join(cells)
    p = np.array([paired(gap, np.zeros_like(gap)).p for gap in found.values()])
    corrected = holm(np.nan_to_num(p, nan=1.0))
    ahead = [
        name
        for (name, gap), q in zip(found.items(), corrected, strict=True)
        if gap.mean() > 0 and q < 0.05
    ]
    yield (
        f"  ahead of plain addition with p < .05 after Holm over {len(found)}: "
        + (", ".join(f"{key} at {budget:g}" for key, budget in ahead) or "none")
    )
    if half < 2:
        yield "  fewer than four seeds: nothing to confirm on"
        return
    key, budget = max(found, key=lambda name: found[name][:half].mean())
    first, second = found[key, budget][:half], found[key, budget][half:]
    yield (
        f"  best on the first {half} seeds: {key} at {budget:g}, {mean_t(first)}; on the other "
        f"{len(second)}: {mean_t(second)}, p {paired(second, np.zeros_like(second)).p:.3f}"
    )
