"""LAPE: neurons that are on for few languages, by the entropy of their activation rates."""

import numpy as np

from interp.abilities.locating.language_neurons import check_rates, rate_bar, rate_entropy
from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores, given


def lape(evidence: UnitEvidence) -> UnitScores:
    """−entropy of every neuron above the rate bar in the language asked for, or in any.

    Other neurons cannot be chosen. With a language the share is of the lowest entropies among its
    own neurons; `interp ability languages` chooses over all languages first, as the paper does.
    """
    rates = given(evidence.activation_rates)
    check_rates(rates)
    above = rates > rate_bar(rates)
    own = (
        above.any(axis=0)
        if evidence.language is None
        else above[evidence.languages.index(evidence.language)]
    )
    return {"neuron": np.where(own, -rate_entropy(rates), -np.inf)}


LOCATOR = Locator(
    name="lape",
    question="how few languages the neuron is on for",
    source="LAPE, arXiv 2402.16438",
    needs=frozenset({"activation_rates"}),
    score_units=lape,
)
