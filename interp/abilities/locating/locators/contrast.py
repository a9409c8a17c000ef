"""Contrast: how much further the ability moves an entry than general data do."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.locating.locator import Locator, TensorEvidence, given


def contrast(evidence: TensorEvidence) -> Float[Tensor, "..."]:
    """s_j = max(0, |θ_j after the ability − θ_j| − |θ_j after general data − θ_j|).

    Both trainings have the same length, rate and seed. Entries that general data move as far as
    the ability does all score 0 and rank by position.
    """
    moved = (given(evidence.trained) - evidence.base).abs()
    anyway = (given(evidence.general) - evidence.base).abs()
    return (moved - anyway).clamp(min=0)


LOCATOR = Locator(
    name="contrast",
    question="how much further the ability moves the entry than general data do",
    source="ours: `change` less the change of a twin trained on general data",
    needs=frozenset({"change", "general_change"}),
    score=contrast,
)
