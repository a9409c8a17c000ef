"""What the experts of a block compute: every neuron of every expert, and the block's output."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import linear

from interp.modules.native.blocks import ExpertWeights, NativeBlock
from interp.modules.native.router import Routing, kept_within, route


def routing_of(
    block: NativeBlock,
    x: Float[Tensor, "rows d_model"],
    *,
    allowed: Bool[Tensor, " experts"] | None = None,
) -> Routing:
    """The decisions of `block`'s own router for its input rows, before any capacity."""
    return route(
        x,
        block.W_router,
        block.b_router,
        top_k=block.top_k,
        normalised=block.normalised,
        allowed=allowed,
    )


def all_expert_neurons(
    block: NativeBlock, x: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows units"]:
    """Every expert's neurons on every row, expert by expert, routed there or not.

    The counterfactual that arXiv 2305.18390 scores: what each expert would have computed. Unit
    e * n_neurons + i is neuron i of expert e. `x` are rows of the block's `hook_in`.
    """
    each = [_neurons(block, block.expert(e), x) for e in range(block.n_experts)]
    return torch.cat(each, dim=1)


def routed_expert_neurons(
    block: NativeBlock, x: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows units"]:
    """Every expert's neurons on the rows that chose the expert, 0 elsewhere.

    What a capacity drops is not known row by row and is counted as routed.
    """
    chosen = routing_of(block, x).chosen
    neurons = all_expert_neurons(block, x).unflatten(1, (block.n_experts, block.n_neurons))
    routed = torch.zeros(len(x), block.n_experts, dtype=torch.bool, device=x.device)
    return (neurons * routed.scatter(1, chosen, True)[..., None]).flatten(1)


def shared_expert_neurons(
    block: NativeBlock, x: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows neurons"] | None:
    """The shared expert's neurons, as `mlp.shared_expert.hook_post` holds them; None without."""
    return None if block.shared is None else _neurons(block, block.shared, x)


def block_output(
    block: NativeBlock,
    x: Float[Tensor, "batch pos d_model"],
    *,
    allowed: Bool[Tensor, " experts"] | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """The block's output, recomputed from its input: the weighted sum of the chosen experts.

    sum over chosen e of w_e W_out^e h^e(x), plus sigmoid(g x) times the shared expert's output.
    Without `allowed` it is what the model computes; `allowed` restricts the router. A Switch block
    drops what overflows its capacity, sequence by sequence, padding counted as its code does.
    """
    rows = x.flatten(0, 1)
    routing = routing_of(block, rows, allowed=allowed)
    kept = _kept(block, routing, x.shape[0])
    out = torch.zeros_like(rows)
    for e in range(block.n_experts):
        row, rank = torch.where((routing.chosen == e) & kept)
        if len(row):
            written = _written(block, block.expert(e), rows[row])
            weight = routing.weights[row, rank, None].to(rows.dtype)
            out = out.index_add(0, row, (written * weight).to(out.dtype))
    if block.shared is not None and block.W_shared_gate is not None:
        scale = linear(rows, block.W_shared_gate).sigmoid()
        out = out + scale * _written(block, block.shared, rows)
    return out.reshape(x.shape)


def _kept(block: NativeBlock, routing: Routing, batch: int) -> Bool[Tensor, "rows k"]:
    if block.capacity is None:
        return torch.ones_like(routing.chosen, dtype=torch.bool)
    chosen = routing.chosen.unflatten(0, (batch, -1))
    capacity = torch.full((batch, block.n_experts), block.capacity, device=chosen.device)
    return kept_within(
        chosen,
        routing.weights.reshape(chosen.shape),
        capacity,
        wanted=torch.ones_like(chosen, dtype=torch.bool),
        order="position",
    ).flatten(0, 1)


def _neurons(
    block: NativeBlock, weights: ExpertWeights, x: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows neurons"]:
    up = linear(x, weights.W_in)
    if weights.W_gate is None:
        return block.activation(up)
    return block.activation(linear(x, weights.W_gate)) * up


def _written(
    block: NativeBlock, weights: ExpertWeights, x: Float[Tensor, "rows d_model"]
) -> Float[Tensor, "rows d_model"]:
    return linear(_neurons(block, weights, x), weights.W_out)
