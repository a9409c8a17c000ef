"""DARE with TIES' election: random entries dropped, and those that agree in sign added."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.merge.dare import dare_tensor

DENSITY = 0.2
"""Share of every difference's entries that stays."""


def dare_ties(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """θ + the sum of γ m_1 τ_ability / .2 and η m_2 τ_language / .2 with the elected sign."""
    models = (given(sources.ability), given(sources.language))
    return dare_tensor("dare_ties", sources.base, models, scales, DENSITY, name=sources.name)


COMPARATOR = Comparator(
    name="dare_ties",
    title="DARE, signs elected",
    source="arXiv 2311.03099, with the election of 2306.01708",
    needs=frozenset({"ability", "language"}),
    standard=False,
    entrywise=False,
    merge=dare_ties,
)
