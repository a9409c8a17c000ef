"""Verify: has the other model gained the ability, against every simpler way to get it?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from interp.abilities.comparator import Scales
from interp.abilities.comparators import comparators
from interp.abilities.contestants import Contestant, Weights, comparison_with, transfer
from interp.abilities.trial import Trial, measure_on
from interp.abilities.tuning import TOLERANCE, Choice, choose, grid
from interp.abilities.weights import AbilityWeights
from interp.evaluation.compare import compare
from interp.evaluation.comparison import Column, Comparison, Row
from interp.evaluation.items import (
    Item,
    check_disjoint,
    check_ids,
    items_hash,
    read_items,
    split_of,
)
from interp.evaluation.scoring import Rule
from interp.models.hub import directory_of
from interp.models.identity import model_identity
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What a comparison is made of; what is None has no row."""

    base: str | Path
    ability_model: str | Path
    """Trained on the ability in one language, all entries free: for the comparators."""
    language_model: str | Path
    """The base adapted to the target languages: what gains the ability."""
    weights: AbilityWeights
    """R(A), taken from a model trained at the located entries."""
    random_weights: AbilityWeights | None = None
    """The same from a model trained at as many random entries of every tensor."""
    control: str | Path | None = None
    """Trained as the ability model, on general data: for the plain analogy."""
    ceiling: str | Path | None = None
    """Trained on the ability in the target languages."""
    transferred: str | Path | None = None
    """The transfer as a directory; without it the merge is made in memory."""


def verify(
    candidates: Candidates,
    items: Path | Sequence[Path] | Sequence[Item],
    *,
    ability_task: str,
    targets: Sequence[str],
    settings: Sequence[Scales] | None = None,
    tolerance: float = TOLERANCE,
    k2: float = 1.0,
    choices: Mapping[str, Choice] | None = None,
    rule: Rule = "greedy",
    seed: int = 0,
    device: str = "cpu",
) -> Comparison:
    """The table of base, language model, ability model, transfer and what it must be held against.

    Every method with scales has them chosen by `choose_scales` on the items of split `validation`,
    or given as `choices` from there; then every model answers the items of split `test`, once.
    `ability_task` in `targets` is the ability, every other task is general. `seed` draws the
    bootstrap of the paired tests. Models are held in memory, in float32.
    """
    asked = load_items(items)
    validation, test = split_of(asked, "validation"), split_of(asked, "test")
    check_disjoint(validation, test)
    bench = Bench(candidates, rule=rule, device=device, k2=k2)
    chosen = dict(choices or {})
    if missing := [c for c in bench.contestants if c.key not in chosen]:
        chosen |= bench.choose(
            missing,
            validation,
            ability_task=ability_task,
            targets=targets,
            settings=settings,
            tolerance=tolerance,
        )
    models = bench.models(chosen)
    measure_on(test, ability_task=ability_task, targets=targets)
    encoded = bench.trial.encode(test)
    with progress("testing", total=len(models), unit="models") as advance:
        answers = []
        for model in models:
            answers.append(bench.trial.answers(model.weights, encoded))
            advance(1)
    return compare(
        rows=[model.row for model in models],
        columns=columns_of(test, ability_task=ability_task, targets=targets),
        items=test,
        correct=np.stack(answers),
        reference="transfer",
        seed=seed,
        provenance=Provenance.collect(
            "interp ability verify",
            model_hash=bench.identity.root,
            corpus_hash=items_hash(asked),
            seed=seed,
            settings={
                "ability_task": ability_task,
                "targets": list(targets),
                "tolerance": tolerance,
                "k2": k2,
                "rule": rule,
                "choices": {key: choice.to_json() for key, choice in chosen.items()},
            },
        ),
    )


def choose_scales(
    candidates: Candidates,
    items: Path | Sequence[Path] | Sequence[Item],
    *,
    ability_task: str,
    targets: Sequence[str],
    settings: Sequence[Scales] | None = None,
    tolerance: float = TOLERANCE,
    k2: float = 1.0,
    rule: Rule = "greedy",
    device: str = "cpu",
) -> dict[str, Choice]:
    """The scales of every method, by row key, chosen on the items of split `validation` alone.

    Highest ability in the target languages among the settings whose mean general accuracy is at
    least the language model's less `tolerance`; the same grid for all. The choice reads labels of
    the target languages.
    """
    validation = split_of(load_items(items), "validation")
    bench = Bench(candidates, rule=rule, device=device, k2=k2)
    return bench.choose(
        bench.contestants,
        validation,
        ability_task=ability_task,
        targets=targets,
        settings=settings,
        tolerance=tolerance,
    )


def accuracies(table: Comparison) -> dict[str, Any]:
    """Accuracy with its interval by row, on the ability and on general tasks: for machines."""
    content = table.to_json()
    return {"target_accuracy": content["target"], "general_accuracy": content["general"]}


def load_items(items: Path | Sequence[Path] | Sequence[Item]) -> list[Item]:
    """Items from one file or several, or as they are. Raises BadInput on a doubled id."""
    found: list[Item] = []
    for entry in [items] if isinstance(items, Path) else items:
        found.extend(read_items(entry) if isinstance(entry, Path) else [entry])
    check_ids(found)
    return found


def columns_of(
    items: Sequence[Item], *, ability_task: str, targets: Sequence[str]
) -> tuple[Column, ...]:
    """Ability in the target languages; general tasks, over all their languages and the worst."""
    tasks = tuple(sorted({item.task for item in items if item.task != ability_task}))
    languages = tuple(sorted({item.language for item in items if item.task != ability_task}))
    ability = Column(
        key="target",
        title=f"{ability_task} in {', '.join(targets)}",
        tasks=(ability_task,),
        languages=tuple(targets),
        statistic="mean",
    )
    general = Column(
        key="general",
        title="general, mean",
        tasks=tasks,
        languages=languages,
        statistic="mean",
    )
    worst = replace(
        general, key="general_worst", title="general, worst language", statistic="worst"
    )
    return (ability, general, worst)


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A row of the table and the weights behind it."""

    row: Row
    weights: Weights


class Bench:
    """The candidates, loaded, and the methods that their weights make."""

    def __init__(self, candidates: Candidates, *, rule: Rule, device: str, k2: float) -> None:
        """Raises Mismatch if the ability weights were taken from another base."""
        directory = directory_of(candidates.base)
        self.identity = model_identity(directory)
        self._candidates = candidates
        for weights in (candidates.weights, candidates.random_weights):
            if weights is not None and weights.base.root != self.identity.root:
                raise Mismatch(
                    f"the ability weights belong to base {weights.base.root[:12]}, and {directory} "
                    f"is {self.identity.root[:12]}: extract them again on this base"
                )
        self.trial = Trial(directory, rule=rule, device=device)
        refs = {
            "language": candidates.language_model,
            "ability": candidates.ability_model,
            "control": candidates.control,
        }
        self._models: dict[str, Weights] = {
            name: self.trial.weights_of(directory_of(ref))
            for name, ref in refs.items()
            if ref is not None
        }
        self.contestants = self._contestants(k2)

    def choose(
        self,
        contestants: Sequence[Contestant],
        validation: Sequence[Item],
        *,
        ability_task: str,
        targets: Sequence[str],
        settings: Sequence[Scales] | None,
        tolerance: float,
    ) -> dict[str, Choice]:
        """The scales of every contestant, on the same settings and items."""
        measure = measure_on(validation, ability_task=ability_task, targets=targets)
        encoded = self.trial.encode(validation)
        tried = grid() if settings is None else tuple(settings)
        if not tried:
            raise BadInput("no setting to choose from: give at least one pair of scales")
        floor = measure(self.trial.answers(self._models["language"], encoded)).general - tolerance
        chosen = {}
        total = len(tried) * len(contestants)
        with progress("choosing scales", total=total, unit="settings") as advance:
            for contestant in contestants:

                def tried_on(scales: Scales, contestant: Contestant = contestant):
                    answers = self.trial.answers(self.trial.merged(contestant, scales), encoded)
                    advance(1)
                    return measure(answers)

                chosen[contestant.key] = choose(tried, tried_on, floor=floor)
        return chosen

    def models(self, choices: Mapping[str, Choice]) -> list[Tested]:
        """Every row of the table, in its order, with the weights that are tested."""
        merged = {
            c.key: self._tested(c.key, c.title, self._weights(c, choices[c.key]), choices[c.key])
            for c in self.contestants
        }
        fixed = [
            self._tested("base", "base", self.trial.base),
            self._tested("language_model", "language model alone", self._models["language"]),
            self._tested("ability_model", "ability model alone", self._models["ability"]),
        ]
        if self._candidates.ceiling is not None:
            ceiling = self.trial.weights_of(directory_of(self._candidates.ceiling))
            merged["ceiling"] = self._tested("ceiling", "ceiling", ceiling)
        return [*fixed, *merged.values()]

    def _weights(self, contestant: Contestant, choice: Choice) -> Weights:
        written = self._candidates.transferred
        if contestant.key == "transfer" and written is not None:
            return self.trial.weights_of(directory_of(written))
        return self.trial.merged(contestant, choice.scales)

    def _tested(
        self, key: str, title: str, weights: Weights, choice: Choice | None = None
    ) -> Tested:
        row = Row(
            key=key,
            title=title,
            share_changed=self.trial.share_changed(weights),
            setting={} if choice is None else dict(choice.scales._asdict()),
        )
        return Tested(row=row, weights=weights)

    def _contestants(self, k2: float) -> list[Contestant]:
        language = self._models["language"]
        given = [
            ("transfer", "transfer of the located", self._candidates.weights),
            ("random_neurons", "transfer of a random", self._candidates.random_weights),
        ]
        transfers = [
            transfer(
                key,
                f"{title} {weights.share:.0%}",
                base=self.trial.base,
                weights=weights,
                language=language,
                k2=k2,
            )
            for key, title, weights in given
            if weights is not None
        ]
        known = comparators()
        others = [
            comparison_with(known[name], base=self.trial.base, others=self._models)
            for name in ("task_arithmetic", *sorted(known.keys() - {"task_arithmetic"}))
            if known[name].needs <= self._models.keys()
        ]
        return [*transfers, *others]
