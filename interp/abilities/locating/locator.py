"""What a locator is: a score for every entry of a tensor, or for every unit, from evidence.

A locator that scores entries serves every level: a unit's score is taken over its entries. One
that scores units (neurons, heads) serves the kinds it gives. The shell gathers the evidence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from interp.results.errors import BadInput

Need = Literal[
    "change",
    "general_change",
    "gradients",
    "inputs",
    "noise",
    "activations",
    "example_activations",
    "activation_rates",
    "gates",
]
UnitScores = dict[str, Float[np.ndarray, "layer _unit"]]
"""By kind of unit (neuron, q_head, kv_head, head, layer); minus infinity: not to be chosen."""


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
class ActivationMoments:
    """What the MLP neurons do on one text: moments of their activation over its tokens."""

    mean: Float[np.ndarray, "layer neuron"]
    mean_abs: Float[np.ndarray, "layer neuron"]
    variance: Float[np.ndarray, "layer neuron"]
    """Unbiased."""
    n_tokens: int


@dataclass(frozen=True, kw_only=True)
class UnitEvidence:
    """What is known about the units; what a locator does not name in `needs` is None or empty."""

    ability: ActivationMoments | None = None
    """On ability text; need `activations`."""
    general: ActivationMoments | None = None
    """On general text; need `activations`."""
    ability_examples: Float[np.ndarray, "examples layer neuron"] | None = None
    """Highest activation of every neuron over the positions of each example of ability text from
    which a target is predicted; need `example_activations`."""
    general_examples: Float[np.ndarray, "others layer neuron"] | None = None
    """The same on general text."""
    languages: tuple[str, ...] = ()
    """Names of the languages in `activation_rates`, in its order."""
    language: str | None = None
    """The one whose neurons are asked for; None for those of any."""
    activation_rates: Float[np.ndarray, "language layer neuron"] | None = None
    """Share of each language's tokens on which a neuron's gate is positive; need
    `activation_rates`."""
    gates: Mapping[str, Float[np.ndarray, "layer _unit"]] = field(default_factory=dict)
    """Learnt gates by kind of unit, 0 closed to 1 open; need `gates`."""
    noise: Mapping[str, Float[np.ndarray, "layer _unit"]] = field(default_factory=dict)
    """Uniform in [0, 1) from the seed, by kind of unit; need `noise`."""


@dataclass(frozen=True, kw_only=True)
class Locator:
    """One way to say which entries, or units, matter for an ability."""

    name: str
    question: str
    """What a high score means, in words."""
    source: str
    needs: frozenset[Need]
    score: Callable[[TensorEvidence], Float[Tensor, "..."]] | None = None
    """Of entries: at least 0, in the tensor's shape; must not edit the evidence."""
    score_units: Callable[[UnitEvidence], UnitScores] | None = None
    """Of units, any sign; where it gives a kind, that is preferred to a score over entries."""
    lowest: bool = False
    """Whether the lowest scores are chosen: a control."""
    null: bool = False
    """Whether it knows nothing about the ability, so that others are to beat it."""
    keep: Callable[[list[Float[Tensor, "..."]], float], list[Bool[Tensor, "..."]]] | None = None
    """A rule of its own, from scores by tensor and a share; None is the exact highest share."""


Part = TypeVar("Part")


def given(part: Part | None) -> Part:
    """`part`, which a locator named in its needs and the shell therefore gathered."""
    if part is None:
        raise BadInput("a locator asks for evidence that it does not name in its `needs`")
    return part
