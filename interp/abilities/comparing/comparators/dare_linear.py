"""DARE: both differences with entries dropped at random and the rest rescaled, then added."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.merge.dare import dare_tensor

DENSITY = 0.2
"""Share of every difference's entries that stays."""


def dare_linear(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """θ + γ m_1 τ_ability / .2 + η m_2 τ_language / .2, m random (2311.03099)."""
    models = (given(sources.ability), given(sources.language))
    return dare_tensor("dare_linear", sources.base, models, scales, DENSITY, name=sources.name)


COMPARATOR = Comparator(
    name="dare_linear",
    title="DARE, summed",
    source="arXiv 2311.03099",
    needs=frozenset({"ability", "language"}),
    standard=False,
    entrywise=False,
    merge=dare_linear,
)
