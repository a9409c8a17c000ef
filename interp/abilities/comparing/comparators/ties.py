"""TIES: both differences trimmed to their largest entries, and those that agree in sign added."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.merge.ties import ties_tensor

DENSITY = 0.2
"""Share of every difference's entries that is kept: the paper's."""


def ties(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """θ + the mean of γ τ_ability and η τ_language where both are left and agree (2306.01708).

    With γ = η = λ the paper's rule, but trimmed tensor by tensor.
    """
    models = (given(sources.ability), given(sources.language))
    return ties_tensor(sources.base, models, scales, DENSITY)


COMPARATOR = Comparator(
    name="ties",
    title="TIES",
    source="arXiv 2306.01708",
    needs=frozenset({"ability", "language"}),
    standard=False,
    entrywise=False,
    merge=ties,
)
