"""Gradient: the size of the mean gradient of the ability's loss."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def grad(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = |E g_j| over examples, at the base; gradients of opposite sign cancel."""
    return given(evidence.mean_gradient).abs()


LOCATOR = Locator(
    name="grad",
    question="how fast the ability's mean loss falls when the entry moves",
    source="first-order sensitivity",
    needs=frozenset({"gradients"}),
    score=grad,
)
