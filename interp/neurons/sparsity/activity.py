"""Which neurons are active in a row, under each rule."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.neurons.sparsity.rule import ActivityRule
from interp.results.errors import BadInput


def active_neurons(
    h: Float[Tensor, "rows neurons"],
    rule: ActivityRule,
    *,
    epsilon: float | None = None,
    out_norm: Float[Tensor, " neurons"] | None = None,
) -> Bool[Tensor, "rows neurons"]:
    """True where a neuron is active, as `ActivityRule` defines it.

    `cett` takes the layer's `epsilon` and the norms of the rows of W_out. Exact zeros are inactive
    under every rule but abs:0. Of equal |h| at the edge, topk keeps the first.
    """
    size = h.abs()
    match rule.name:
        case "relu":
            return h != 0
        case "abs":
            return size >= _given(rule.value, rule)
        case "relmax":
            largest = size.amax(dim=1, keepdim=True)
            return (size >= largest / _given(rule.value, rule)) & (size > 0)
        case "topk":
            return _largest(size, int(_given(rule.value, rule))) & (size > 0)
        case "cett":
            if out_norm is None:
                raise BadInput(f"rule {rule} needs W_out: give the model")
            norm = size * out_norm.to(size)
            return (norm >= _given(epsilon, rule)) & (norm > 0)


def _largest(size: Float[Tensor, "rows neurons"], k: int) -> Bool[Tensor, "rows neurons"]:
    if k > size.shape[1]:
        raise BadInput(f"rule topk:{k}: the layer has {size.shape[1]} neurons")
    first = size.sort(dim=1, descending=True, stable=True).indices[:, :k]
    return torch.zeros_like(size, dtype=torch.bool).scatter_(1, first, True)


def _given(value: float | None, rule: ActivityRule) -> float:
    if value is None:
        raise BadInput(f"rule {rule} lacks its threshold")
    return value
