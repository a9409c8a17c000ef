"""Router: how the experts of a token are chosen, and what every way of choosing is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Scorer = Callable[[Tensor], Tensor]
"""From what a router reads, a row a token, to a score for every expert: (rows, experts)."""


class Layer(NamedTuple):
    """An MLP whose neurons are parted into experts."""

    rows: Float[Tensor, "neurons d_model"]
    """What decides whether a neuron fires: its gate in a gated MLP, else its input weights."""
    W_out: Float[Tensor, "neurons d_model"]
    labels: Int64[Tensor, " neurons"]
    n_experts: int


class Lesson(NamedTuple):
    """What a router may learn from: a layer, and tokens whose experts' true scores are known."""

    layer: Layer
    x: Float[Tensor, "rows d_model"]
    scores: Float[Tensor, "rows experts"]
    measure: Scorer
    """True scores from the neurons' activations."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class Router:
    """A way to choose experts: a value that holds how to make a scorer for one layer."""

    name: str
    question: str
    """What is scored, in words."""
    source: str
    reads: Literal["input", "neurons"]
    """The input of the MLP, as a router that saves work must, or the activations it would save."""
    fit: Callable[[Lesson], Scorer]


def expert_means(values: Float[Tensor, "neurons d"], layer: Layer) -> Float[Tensor, "experts d"]:
    """The mean of the members' rows, an expert a row."""
    sums = values.new_zeros((layer.n_experts, values.shape[1]))
    sums.index_add_(0, layer.labels, values)
    return sums / torch.bincount(layer.labels, minlength=layer.n_experts)[:, None]


def unit(values: Float[Tensor, "rows d"]) -> Float[Tensor, "rows d"]:
    """Rows at length one; zero rows stay."""
    length = values.norm(dim=1, keepdim=True)
    return values / length.where(length > 0, 1.0)


def chosen(scores: Float[Tensor, "rows experts"], k: int) -> Bool[Tensor, "rows experts"]:
    """The k experts with the highest score of every row; of equal ones the first."""
    best = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, best, True)
