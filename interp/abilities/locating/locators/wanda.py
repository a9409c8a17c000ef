"""Wanda: the size of a weight times the norm of what it is multiplied by."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def wanda(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_ij = |W_ij| · ‖x_j‖₂, x over all positions of the ability's examples (arXiv 2306.11695).

    Forward passes only. A tensor that is no linear map keeps |θ|.
    """
    return evidence.base.abs() * given(evidence.input_norm)


LOCATOR = Locator(
    name="wanda",
    question="how much the entry can carry on the ability's examples",
    source="Wanda, arXiv 2306.11695",
    needs=frozenset({"inputs"}),
    score=wanda,
)
