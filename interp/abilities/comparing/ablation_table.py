"""The ablation table of MAET on one's own models and items: one row a part left out or inverted."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from interp.abilities.comparing.ablations import N_SETTINGS, Materials, Trained, maet_methods
from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant
from interp.abilities.comparing.parts import Weights, parts_between
from interp.abilities.comparing.sweep import Method, Tried, best, sweep
from interp.abilities.comparing.trial import Trial, measure_on
from interp.abilities.comparing.tuning import TOLERANCE, Measured
from interp.abilities.comparing.verify import columns_of, load_items
from interp.abilities.maet import MaetRecipe, Twins, train_twins
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.stages import Stages
from interp.evaluation.compare import compare
from interp.evaluation.comparison import Comparison, Row
from interp.evaluation.items import Item, check_disjoint, items_hash, split_of
from interp.evaluation.scoring import EncodedItems, Rule
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

TUNED = ("maet", "random_entries", "plain_addition", "plain_analogy")
"""The rows of a sweep without the ablations: the method, its null, and the simplest ways."""


def gather_materials(
    out: Path,
    base: str | Path,
    ability: Path,
    general: Path,
    *,
    language: str | Path,
    recipe: MaetRecipe,
    device: str = "cpu",
) -> tuple[Trial, Materials]:
    """Every training the ablations need: located, random and all entries, each with its control.

    Parts that `maet` left in `out` are used again. Raises BadInput where nothing is located.
    """
    if recipe.share >= 1.0:
        raise BadInput(
            "a share of 1 locates nothing: give --share below 1, the row of all entries is there"
        )
    stages = Stages(out)
    common = {"base": base, "ability": ability, "general": general, "device": device}
    located = train_twins(stages, recipe=recipe, **common)
    random = train_twins(stages, recipe=recipe, random=True, **common)
    everywhere = train_twins(stages, recipe=replace(recipe, share=1.0), **common)
    trial = Trial(directory_of(base), device=device)
    return trial, Materials(
        base=trial.base,
        language=trial.weights_of(directory_of(language)),
        located=[_trained(trial, located)],
        random=[_trained(trial, random)],
        everywhere=[_trained(trial, everywhere)],
        seed=recipe.seed,
    )


def ablation_table(
    trial: Trial,
    materials: Materials,
    items: Path | Sequence[Path] | Sequence[Item],
    *,
    ability_task: str,
    targets: Sequence[str],
    tolerance: float = TOLERANCE,
    n_settings: int = N_SETTINGS,
    only: Sequence[str] | None = None,
    rule: Rule = "greedy",
    seed: int = 0,
) -> Comparison:
    """Every row of the ablations, or of `only`, with its best of `n_settings` asked on test items.

    The choice takes the highest ability in the targets among settings whose general accuracy is at
    least the language model's less `tolerance`. The reference row, tested against all others, is
    the whole method.
    """
    asked = load_items(items)
    validation, test = split_of(asked, "validation"), split_of(asked, "test")
    check_disjoint(validation, test)
    trial.rule = rule
    methods = maet_methods(replace(materials, n_settings=n_settings))
    chosen = _choose_all(
        trial,
        [m for m in methods if only is None or m.key in only],
        materials.language,
        validation,
        ability_task=ability_task,
        targets=targets,
        tolerance=tolerance,
    )
    encoded = trial.encode(test)
    models = {
        "base": ("base", {}, materials.base),
        "language_model": ("language model alone", {}, materials.language),
        **{
            method.key: (
                method.title,
                one.settings,
                trial.merged(one.variant.contestant, one.scales),
            )
            for method, one in chosen
        },
    }
    rows, answers = [], []
    for key, (title, settings, weights) in models.items():
        changed = trial.share_changed(weights)
        rows.append(Row(key=key, title=title, share_changed=changed, setting=settings))
        answers.append(trial.answers(weights, encoded))
    return compare(
        rows=rows,
        columns=columns_of(test, ability_task=ability_task, targets=targets),
        items=test,
        correct=np.stack(answers),
        reference="maet",
        seed=seed,
        provenance=Provenance.collect(
            "interp ability maet --ablations",
            model_hash=model_hash(trial.trained.directory),
            corpus_hash=items_hash(asked),
            seed=seed,
            settings={
                "ability_task": ability_task,
                "targets": list(targets),
                "tolerance": tolerance,
                "n_settings": n_settings,
                "rule": rule,
            },
        ),
    )


def _choose_all(
    trial: Trial,
    methods: Sequence[Method],
    language: Weights,
    validation: Sequence[Item],
    *,
    ability_task: str,
    targets: Sequence[str],
    tolerance: float,
) -> list[tuple[Method, Tried]]:
    measure = measure_on(validation, ability_task=ability_task, targets=targets)
    encoded = trial.encode(validation)
    floor = measure(trial.answers(language, encoded)).general - tolerance
    total = sum(method.n_settings for method in methods)
    with progress("sweeping", total=total, unit="settings") as advance:

        def measured(contestant: Contestant, scales: Scales) -> Measured:
            found = measure(_answers(trial, contestant, scales, encoded))
            advance(1)
            return found

        return [(m, best(sweep(m, measured), floor=floor)[0]) for m in methods]


def _answers(
    trial: Trial, contestant: Contestant, scales: Scales, encoded: EncodedItems
) -> np.ndarray:
    return trial.answers(trial.merged(contestant, scales), encoded)


def _trained(trial: Trial, twins: Twins) -> Trained:
    mask = None if twins.mask is None else NeuronMask.load(twins.mask)

    def parts(directory: Path):
        other: Weights = trial.weights_of(directory)
        return parts_between(trial.base, other, mask=mask)

    return Trained(ability=parts(twins.ability), control=parts(twins.control))
