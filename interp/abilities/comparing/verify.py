"""Verify: has the other model gained the ability, against every simpler way to get it?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from interp.abilities.comparing.bench import Bench, Candidates
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.trial import measure_on
from interp.abilities.comparing.tuning import TOLERANCE, Choice
from interp.evaluation.compare import compare
from interp.evaluation.comparison import Column, Comparison
from interp.evaluation.items import (
    Item,
    check_disjoint,
    check_ids,
    items_hash,
    read_items,
    split_of,
)
from interp.evaluation.scoring import Rule
from interp.results.progress import progress
from interp.results.provenance import Provenance


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
