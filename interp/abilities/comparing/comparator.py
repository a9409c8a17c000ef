"""What a comparator is: a way to combine whole models, tensor by tensor, with two scales."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor

from interp.results.errors import BadInput

Model = Literal["ability", "language", "control"]


class Scales(NamedTuple):
    """The two numbers that every method is tuned by, on one grid."""

    gamma: float
    """Of what was learnt for the ability."""
    eta: float
    """Of what was learnt for the language."""


@dataclass(frozen=True, kw_only=True)
class TensorSources:
    """One tensor in the base and in the models that a comparator combines with it."""

    base: Float[Tensor, "*shape"]
    name: str = ""
    """Of the tensor: what random choices depend on."""
    ability: Float[Tensor, "*shape"] | None = None
    """Trained on the ability in its one language."""
    language: Float[Tensor, "*shape"] | None = None
    """Adapted to the target languages, without the ability."""
    control: Float[Tensor, "*shape"] | None = None
    """Trained as the ability model was, on general data alone."""


@dataclass(frozen=True, kw_only=True)
class Comparator:
    """One way to merge, to hold a transfer against."""

    name: str
    title: str
    """In the table: what is added, in words."""
    source: str
    needs: frozenset[Model]
    """Without these it is left out of the table."""
    standard: bool
    """Whether it is in a table that does not ask for others by name."""
    entrywise: bool
    """Whether an entry of the result depends on no other entry of the tensor."""
    merge: Callable[[TensorSources, Scales], Float[Tensor, "..."]]
    """In the type of `base`; at scales of 0 the base's own bits."""


def given(tensor: Float[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """`tensor`, of a model that a comparator named in its needs."""
    if tensor is None:
        raise BadInput("a comparator reads a model that it does not name in its `needs`")
    return tensor
