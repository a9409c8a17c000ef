"""One seed: every method swept on validation cells, its choice asked on test cells, once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from benchmarks.transfer.donors import Donors
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant
from interp.abilities.comparing.parts import Weights
from interp.abilities.comparing.sweep import Method, Tried, best, sweep
from interp.abilities.comparing.trial import Trial, measure_on
from interp.abilities.comparing.tuning import Measured
from interp.evaluation.items import Item
from interp.results.atomic import write_json
from probes.polyglot.cells import Split, items
from probes.polyglot.languages import LANGUAGES, AbilityRule

TARGETS = ("D", "E")
BUDGETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
"""General accuracy that a choice may cost on validation, below the language model's."""
MAIN_BUDGET = 0.03
ONE_BUDGET = ("only_", "no_", "full_", "random_tensors", "ties", "least_", "most_", "largest_",
              "smallest_", "random_2", "random_3")  # fmt: skip
"""Beginnings of the keys of ablations that are chosen at the main budget alone."""
COLUMNS = {
    "ability_DE": ("ability", "DE"),
    "ability_BC": ("ability", "BC"),
    "ability_A": ("ability", "A"),
    "general_DE": ("general", "DE"),
    "general_BC": ("general", "BC"),
    "general": ("general", "ABCDE"),
}
"""Mean accuracy over languages on the test cells; `harm` and `worst` come beside them."""

Figures = dict[str, Any]


class Cells:
    """The validation and test questions of one ability, on one base."""

    def __init__(self, base: Path, rule: AbilityRule) -> None:
        self.trial = Trial(base)
        validation = [one for one in questions("validation", rule) if _tuned_on(one)]
        self._validation = self.trial.encode(validation)
        self._measure = measure_on(validation, ability_task="ability", targets=TARGETS)
        self.test = questions("test", rule)
        self._test = self.trial.encode(self.test)

    def measure(self, contestant: Contestant, scales: Scales) -> Measured:
        """Ability and general accuracy on the validation cells."""
        merged = self.trial.merged(contestant, scales)
        return self._measure(self.trial.answers(merged, self._validation))

    def ask(self, contestant: Contestant, scales: Scales) -> dict[str, float]:
        """Every column on the test cells."""
        merged = self.trial.merged(contestant, scales)
        right = self.trial.answers(merged, self._test)
        by_cell = {
            (task, language): float(right[self._rows(task, language)].mean())
            for task in ("ability", "general")
            for language in LANGUAGES
        }
        found = {
            column: float(np.mean([by_cell[task, language] for language in languages]))
            for column, (task, languages) in COLUMNS.items()
        }
        worst = min(by_cell["general", language] for language in LANGUAGES)
        return {**found, "worst": worst, "changed": self.trial.share_changed(merged)}

    def _rows(self, task: str, language: str) -> np.ndarray:
        return np.array([i.task == task and i.language == language for i in self.test])


def questions(split: Split, rule: AbilityRule) -> list[Item]:
    """The questions of a split, by the generator's fixed split of the cells."""
    return [
        Item(**{**content, "choices": tuple(content["choices"])})
        for content in items(split, rule=rule)
    ]


def run(
    methods: Sequence[Method], donors: Donors, kept: Path, *, said: Callable[[str], None]
) -> Figures:
    """Figures of every method by key: what was chosen at every budget, and its test columns.

    A method whose figures are in `kept` is not run again.
    """
    cells = Cells(donors.models / "base", donors.rule)
    language = cells.measure(_as_it_is(donors.language), Scales(1.0, 1.0))
    figures: Figures = {}
    for method in methods:
        path = kept / f"{method.key}.json"
        if not path.exists():
            tried = sweep(method, cells.measure)
            write_json(path, _figures_of(method, tried, cells, language.general))
        figures[method.key] = json.loads(path.read_text(encoding="utf-8"))
        chosen = figures[method.key]["budgets"][str(MAIN_BUDGET)]
        said(f"seed {donors.seed} {donors.rule} {method.key}: {chosen['test']['ability_DE']:.3f}")
    return figures


def _figures_of(
    method: Method, tried: Sequence[Tried], cells: Cells, reference: float
) -> dict[str, Any]:
    asked: dict[int, dict[str, float]] = {}
    budgets = {}
    alone = method.n_settings <= 2 or method.key.startswith(ONE_BUDGET)
    for budget in (MAIN_BUDGET,) if alone else BUDGETS:
        one, kept = best(tried, floor=reference - budget)
        if id(one) not in asked:
            asked[id(one)] = cells.ask(one.variant.contestant, one.scales)
        budgets[str(budget)] = {
            "settings": one.settings,
            "meets_budget": kept,
            "validation": one.measured._asdict(),
            "test": asked[id(one)],
        }
    return {"title": method.title, "n_settings": len(tried), "budgets": budgets}


def _as_it_is(weights: Weights) -> Contestant:
    def tensor(name: str, _scales: Scales) -> Float[Tensor, "..."]:
        return weights[name]

    return Contestant(key="language", title="language model", tensor=tensor)


def _tuned_on(item: Item) -> bool:
    return item.task == "general" or item.language in TARGETS
