"""Activation difference: how far a neuron's activation on ability text is from general text."""

import numpy as np
from jaxtyping import Float

from interp.abilities.locating.locator import (
    ActivationMoments,
    Locator,
    UnitEvidence,
    UnitScores,
    given,
)

LEAST_SPREAD = 1e-12


def standardised_difference(
    ability: ActivationMoments, general: ActivationMoments
) -> Float[np.ndarray, "layer neuron"]:
    """d = (mean on ability text − mean on general text) / √((variance + variance) / 2).

    Cohen's d with both texts weighted alike, so that their lengths do not matter (Cohen 1988,
    equation 2.3.2). 0 where a neuron never varies and the means agree. Tokens of one text are not
    independent: d is an effect size, and no p-value follows from it.
    """
    difference = ability.mean - general.mean
    # Without a floor a neuron that never varies and yet differs would have no finite d.
    spread = np.maximum(np.sqrt((ability.variance + general.variance) / 2), LEAST_SPREAD)
    return difference / spread


def activation_difference(evidence: UnitEvidence) -> UnitScores:
    """|d| of every neuron: on more, or off more, on the ability's text."""
    return {
        "neuron": np.abs(standardised_difference(given(evidence.ability), given(evidence.general)))
    }


LOCATOR = Locator(
    name="activation_difference",
    question="how far the neuron's activation on ability text is from that on general text",
    source="Cohen 1988, equation 2.3.2, over tokens",
    needs=frozenset({"activations"}),
    score_units=activation_difference,
)
