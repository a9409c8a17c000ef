"""Change: how far a short training on the ability moves an entry."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def change(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = |θ_j after a short training on the ability − θ_j| (MAET 2410.07825, ALLO 2406.12606).

    It says where training writes, not where the ability is: entries that any training moves rank
    high too (`contrast` takes those out).
    """
    return (given(evidence.trained) - evidence.base).abs()


LOCATOR = Locator(
    name="change",
    question="how far a short training on the ability moves the entry",
    source="MAET, arXiv 2410.07825",
    needs=frozenset({"change"}),
    score=change,
)
