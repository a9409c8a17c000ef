"""Plain analogy: the ability model, less its own language, plus the new one."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.moving.arithmetic import LanguageTerm, merged_tensor


def plain_analogy(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """θ + γ (θ_ability − θ_control) + η (θ_language − θ).

    With both scales 1 it is θ_ability + θ_language − θ_control: what MAET's formulas
    (arXiv 2410.07825) come to with every entry, every tensor and all coefficients 1.
    """
    differences = (
        LanguageTerm(scales.gamma, given(sources.ability)),
        LanguageTerm(-scales.gamma, given(sources.control)),
        LanguageTerm(scales.eta, given(sources.language)),
    )
    return merged_tensor(sources.base, languages=differences)


COMPARATOR = Comparator(
    name="plain_analogy",
    title="plain analogy",
    source="analogy form of MAET, arXiv 2410.07825, without location or selection",
    needs=frozenset({"ability", "language", "control"}),
    standard=True,
    entrywise=True,
    merge=plain_analogy,
)
