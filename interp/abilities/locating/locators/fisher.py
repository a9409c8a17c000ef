"""Fisher: the empirical Fisher information of every entry, label by label as observed."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def fisher(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = E g_j², over the gradients of single examples with their observed answers.

    Squaring the gradient of a batch would not be the Fisher information; labels are not sampled.
    """
    return given(evidence.mean_square_gradient)


LOCATOR = Locator(
    name="fisher",
    question="how much the entry's value says about the ability's answers",
    source="empirical Fisher information, observed labels (arXiv 2111.09832)",
    needs=frozenset({"gradients"}),
    score=fisher,
)
