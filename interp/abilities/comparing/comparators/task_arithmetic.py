"""Task arithmetic: the base plus both differences, every entry of them."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor


def task_arithmetic(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """θ + γ (θ_ability − θ) + η (θ_language − θ) (arXiv 2212.04089); no entry is located."""
    differences = (
        LanguageTerm(scales.gamma, given(sources.ability)),
        LanguageTerm(scales.eta, given(sources.language)),
    )
    return merged_tensor(sources.base, languages=differences)


COMPARATOR = Comparator(
    name="task_arithmetic",
    title="plain addition of the two vectors",
    source="task arithmetic, arXiv 2212.04089",
    needs=frozenset({"ability", "language"}),
    standard=True,
    entrywise=True,
    merge=task_arithmetic,
)
