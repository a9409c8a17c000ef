"""Skill neurons: how often a threshold on a neuron's activation tells ability text from general."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, UnitEvidence, UnitScores, given
from interp.neurons.skill import skill_accuracy


def skill(evidence: UnitEvidence) -> UnitScores:
    """Accuracy − 1/2 of every neuron on held-out examples, 0 by chance and at most 1/2.

    Every second example of both texts sets the threshold (the mean) and the direction, and the
    others are told apart by it; the longer text gives as many as the shorter (arXiv 2211.07349,
    whose direction is the better one on the examples that it is measured on).
    """
    ability, general = given(evidence.ability_examples), given(evidence.general_examples)
    n = min(len(ability), len(general)) // 2
    shape = ability.shape[1:]
    train, held_out = (
        torch.from_numpy(_side_by_side(ability[start::2][:n], general[start::2][:n]))
        for start in (0, 1)
    )
    labels = _labels(n)
    # Its null is not asked for here: a mask is held against random ones.
    found = skill_accuracy(train, labels, held_out, labels, draws=1)
    return {"neuron": (found.accuracy[0] - 0.5).reshape(shape)}


def _side_by_side(
    ability: Float[np.ndarray, "n layer neuron"], general: Float[np.ndarray, "n layer neuron"]
) -> Float[np.ndarray, "rows units"]:
    return np.concatenate([ability, general]).reshape(2 * len(ability), -1)


def _labels(n: int) -> Tensor:
    return torch.tensor([[1] * n + [0] * n], dtype=torch.int8)


LOCATOR = Locator(
    name="skill",
    question="how often a threshold on the neuron tells unseen ability text from general text",
    source="skill neurons, arXiv 2211.07349",
    needs=frozenset({"example_activations"}),
    score_units=skill,
)
