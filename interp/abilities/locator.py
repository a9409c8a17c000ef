"""What a locator is: a score for every entry of a tensor, from evidence the shell gathers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from interp.results.errors import BadInput

Need = Literal["change", "general_change", "gradients", "inputs", "noise"]


@dataclass(frozen=True, kw_only=True)
class TensorEvidence:
    """What is known about one tensor; what a locator does not name in `needs` is None."""

    base: Float[Tensor, "*shape"]
    """The weights themselves."""
    trained: Float[Tensor, "*shape"] | None = None
    """After a short training on the ability; need `change`."""
    general: Float[Tensor, "*shape"] | None = None
    """After the same training on general data; need `general_change`."""
    mean_gradient: Float[Tensor, "*shape"] | None = None
    """Mean over examples of the gradient of each example's loss; need `gradients`."""
    mean_abs_gradient: Float[Tensor, "*shape"] | None = None
    mean_square_gradient: Float[Tensor, "*shape"] | None = None
    input_norm: Float[Tensor, "*shape"] | None = None
    """Norm over all positions of the input that an entry is multiplied by; need `inputs`. One
    where the tensor is no linear map."""
    noise: Float[Tensor, "*shape"] | None = None
    """Uniform in [0, 1) from the seed; need `noise`."""


@dataclass(frozen=True, kw_only=True)
class Locator:
    """One way to say which entries matter for an ability."""

    name: str
    question: str
    """What a high score means, in words."""
    source: str
    needs: frozenset[Need]
    score: Callable[[TensorEvidence], Float[Tensor, "..."]]
    """At least 0, in the tensor's shape; must not edit the evidence."""
    lowest: bool = False
    """Whether the lowest scores are chosen: a control."""
    null: bool = False
    """Whether it knows nothing about the ability, so that others are to beat it."""
    keep: Callable[[list[Float[Tensor, "..."]], float], list[Bool[Tensor, "..."]]] | None = None
    """A rule of its own, from scores by tensor and a share; None is the exact highest share."""


def given(part: Float[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """`part`, which a locator named in its needs and the shell therefore gathered."""
    if part is None:
        raise BadInput("a locator asks for evidence that it does not name in its `needs`")
    return part
