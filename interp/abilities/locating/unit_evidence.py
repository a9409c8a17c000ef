"""Gather what locators of units score from: activations, rates by language, and learnt gates."""

from collections.abc import Callable, Mapping

import numpy as np

from interp.abilities.locating.activation_rates import (
    activation_moments,
    active_counts,
    example_activations,
)
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
    ability_examples = general_examples = None
    gates: dict[str, np.ndarray] = {}
    if needs & {"activations", "example_activations"} and general is None:
        raise BadInput(f"locator {locator.name!r} needs general text beside the ability's")
    if "example_activations" in needs:
        ability_examples = example_activations(trained, examples, on_progress=on_progress)
        general_examples = example_activations(trained, given(general))
        _check_enough(ability_examples, general_examples, locator.name)
    if "activations" in needs:
        ability = activation_moments(trained, examples, on_progress=on_progress).finish()
        of_general = activation_moments(trained, given(general)).finish()
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
        ability_examples=ability_examples,
        general_examples=general_examples,
        languages=tuple(languages),
        language=language,
        activation_rates=rates,
        gates=gates,
    )


def _check_enough(ability: np.ndarray, general: np.ndarray, name: str) -> None:
    if min(len(ability), len(general)) < 2:
        raise BadInput(
            f"locator {name!r} sets a threshold on some examples and measures it on others: give "
            f"two or more of each text, not {len(ability)} and {len(general)}"
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
