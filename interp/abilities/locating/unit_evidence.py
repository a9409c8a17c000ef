"""Gather what locators of units score from: activations, rates by language, and learnt gates."""

from collections.abc import Callable, Mapping

import numpy as np

from interp.abilities.locating.activation_rates import activation_moments, active_counts
from interp.abilities.locating.language_neurons import check_rates
from interp.abilities.locating.learnt_gates import (
    GATE_STEPS,
    GATED,
    GateRecipe,
    learn_gates,
    learning_part,
)
from interp.abilities.locating.locator import Locator, UnitEvidence, given
from interp.abilities.training.masked_training import TrainingRecipe
from interp.models.examples import TrainingExamples
from interp.models.trainable import TrainableModel
from interp.results.errors import BadInput, Unsupported

Progress = Callable[..., None]


def gather_unit_evidence(
    trained: TrainableModel,
    locator: Locator,
    *,
    kind: str,
    examples: TrainingExamples,
    general: TrainingExamples | None,
    languages: Mapping[str, TrainingExamples],
    language: str | None,
    recipe: TrainingRecipe,
    share: float,
    on_progress: Progress | None = None,
) -> UnitEvidence:
    """What `locator` needs to score units of `kind`. The model's weights are as before.

    Gates are learnt to leave `share` of the units open, with the recipe's seed and batch size, and
    GATE_STEPS times its steps.
    """
    needs = locator.needs
    _check_kind(locator, kind)
    ability = of_general = rates = None
    gates: dict[str, np.ndarray] = {}
    if "activations" in needs:
        if general is None:
            raise BadInput(f"locator {locator.name!r} needs general text beside the ability's")
        ability = activation_moments(trained, examples, on_progress=on_progress).finish()
        of_general = activation_moments(trained, general).finish()
    if "activation_rates" in needs:
        if language is not None and language not in languages:
            raise BadInput(f"no text of {language!r}: there are {', '.join(languages) or 'none'}")
        counted = [active_counts(trained, t, on_progress=on_progress) for t in languages.values()]
        rates = (
            np.stack([c.finish() / c.n_tokens for c in counted]) if counted else np.zeros((0, 1, 1))
        )
        check_rates(rates)
    if "gates" in needs:
        learnt = learn_gates(
            trained,
            learning_part(examples),
            kind=GATED[kind],
            target_sparsity=1 - share,
            recipe=GateRecipe(
                steps=GATE_STEPS * recipe.steps, batch_size=recipe.batch_size, seed=recipe.seed
            ),
            on_progress=on_progress,
        )
        gates[GATED[kind]] = learnt.open_probability
    return UnitEvidence(
        ability=ability,
        general=of_general,
        languages=tuple(languages),
        language=language,
        activation_rates=rates,
        gates=gates,
    )


def _check_kind(locator: Locator, kind: str) -> None:
    """Raise Unsupported if a locator of gates does not score `kind`: before hours of learning."""
    if "gates" not in locator.needs:
        return
    closed = {gate: np.zeros((1, 1)) for gate in GATED.values()}
    scored = given(locator.score_units)(UnitEvidence(gates=closed))
    if kind not in scored:
        raise Unsupported(
            f"locator {locator.name!r} scores units of kind {', '.join(scored)}: no {kind!r}"
        )
