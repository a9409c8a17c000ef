"""Saliency: the first-order change of the loss when an entry is set to zero."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def saliency(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = |θ_j · E g_j|, at the base (SNIP, arXiv 1810.02340)."""
    return (evidence.base * given(evidence.mean_gradient)).abs()


LOCATOR = Locator(
    name="saliency",
    question="how much the ability's loss changes, to first order, when the entry is set to zero",
    source="SNIP, arXiv 1810.02340",
    needs=frozenset({"gradients"}),
    score=saliency,
)
