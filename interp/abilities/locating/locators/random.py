"""Random: entries drawn from all that are ranked; a null."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import (
    Locator,
    TensorEvidence,
    UnitEvidence,
    UnitScores,
    given,
)

PURPOSE = "locator"
"""What the entries' numbers are drawn for: those of a mask like another are independent."""


def random(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j uniform in [0, 1).

    A located mask must beat `interp.abilities.masks.random_mask.random_like` instead, which keeps
    its count in every tensor: a gain can come from which tensors are chosen, not which entries.
    """
    return given(evidence.noise)


def random_units(evidence: UnitEvidence) -> UnitScores:
    """Uniform in [0, 1) for every unit: an average over its entries would hardly vary."""
    return dict(evidence.noise)


LOCATOR = Locator(
    name="random",
    question="nothing: entries are drawn at random",
    source="null",
    needs=frozenset({"noise"}),
    score=random,
    score_units=random_units,
    null=True,
)
