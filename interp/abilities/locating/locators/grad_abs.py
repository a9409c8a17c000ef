"""Absolute gradient: the mean size of the gradient of each example's loss."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def grad_abs(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = E |g_j| over single examples, at the base: what "accumulated gradient" would measure.

    Its order is not that of `change`, which an optimizer's steps decide.
    """
    return given(evidence.mean_abs_gradient)


LOCATOR = Locator(
    name="grad_abs",
    question="how strongly single examples pull at the entry, in whichever direction",
    source="accumulated gradient, as MAET (arXiv 2410.07825) motivates its change",
    needs=frozenset({"gradients"}),
    score=grad_abs,
)
