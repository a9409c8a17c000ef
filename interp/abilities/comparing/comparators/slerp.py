"""SLERP: along the great circle from the ability model to the language model."""

from jaxtyping import Float
from torch import Tensor

from interp.abilities.comparing.comparator import Comparator, Scales, TensorSources, given
from interp.abilities.merge.slerp import slerp_tensor


def slerp(sources: TensorSources, scales: Scales) -> Float[Tensor, "..."]:
    """At η / (γ + η) of the way: only the ratio counts. The base where both are 0."""
    ability, language = given(sources.ability), given(sources.language)
    total = scales.gamma + scales.eta
    if not total:
        return sources.base.clone()
    return slerp_tensor(ability, language, scales.eta / total)


COMPARATOR = Comparator(
    name="slerp",
    title="spherical interpolation",
    source="Shoemake 1985",
    needs=frozenset({"ability", "language"}),
    standard=False,
    entrywise=False,
    merge=slerp,
)
