"""Magnitude: the size of a weight; a null, since it does not look at the ability."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence


def magnitude(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = |θ_j|."""
    return evidence.base.abs()


LOCATOR = Locator(
    name="magnitude",
    question="how large the entry is, whatever the ability",
    source="null",
    needs=frozenset(),
    score=magnitude,
    null=True,
)
