"""Activation increase: how much more a neuron is active on ability text than on general text."""

from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores, given
from interp.abilities.locating.locators.activation_difference import standardised_difference


def activation_increase(evidence: UnitEvidence) -> UnitScores:
    """d of every neuron with its sign: only neurons that are on more rank high."""
    return {"neuron": standardised_difference(given(evidence.ability), given(evidence.general))}


LOCATOR = Locator(
    name="activation_increase",
    question="how much higher the neuron's activation is on ability text than on general text",
    source="`activation_difference` with its sign",
    needs=frozenset({"activations"}),
    score_units=activation_increase,
)
