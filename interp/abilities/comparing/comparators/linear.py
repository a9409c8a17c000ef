"""Linear: the weighted mean of the two models."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor


def linear(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """(γ θ_ability + η θ_language) / (γ + η): only the ratio counts (2203.05482).

    The base where both are 0.
    """
    total = scales.gamma + scales.eta
    terms = [
        LanguageTerm(scale / total if total else 0.0, model)
        for scale, model in zip(
            scales, (given(sources.ability), given(sources.language)), strict=True
        )
    ]
    return merged_tensor(sources.base, languages=terms)


COMPARATOR = Comparator(
    name="linear",
    title="weighted mean",
    source="model soups, arXiv 2203.05482",
    needs=frozenset({"ability", "language"}),
    standard=False,
    entrywise=True,
    merge=linear,
)
