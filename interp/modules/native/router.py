"""How a router sends tokens to experts: probabilities, choices, weights, and what is dropped."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import linear, one_hot

Order = Literal["position", "score"]


class Routing(NamedTuple):
    """What a router decided for some tokens, before any capacity."""

    probabilities: Float[Tensor, "rows experts"]
    """Softmax over all experts."""
    chosen: Int[Tensor, "rows k"]
    """Best first."""
    weights: Float[Tensor, "rows k"]
    """What the chosen experts' outputs are multiplied by."""


def route(
    x: Float[Tensor, "rows d_model"],
    W_router: Float[Tensor, "experts d_model"],
    b_router: Float[Tensor, " experts"] | None,
    *,
    top_k: int,
    normalised: bool,
    allowed: Bool[Tensor, " experts"] | None = None,
) -> Routing:
    """softmax(W x + b), its `top_k` largest entries, and these scaled to sum to 1 if `normalised`.

    `allowed` restricts the router: the logits of other experts are minus infinity, so that the
    probabilities are of the experts that are left (arXiv 2305.18390 restricts Switch so). At least
    `top_k` must be left.
    """
    logits = linear(x.to(W_router.dtype), W_router, b_router).float()
    if allowed is not None:
        logits = logits.masked_fill(~allowed, float("-inf"))
    probabilities = logits.softmax(dim=-1)
    weights, chosen = probabilities.topk(top_k, dim=-1)
    if normalised:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return Routing(probabilities, chosen, weights)


def kept_within(
    chosen: Int[Tensor, "groups tokens k"],
    score: Float[Tensor, "groups tokens k"],
    capacity: Int[Tensor, "groups experts"],
    *,
    wanted: Bool[Tensor, "groups tokens k"],
    order: Order,
) -> Bool[Tensor, "groups tokens k"]:
    """Which of the `wanted` assignments find room, `capacity` of them for each group and expert.

    `position`: all first choices before all second ones, earlier tokens first, as Switch's code
    (transformers' SwitchTransformersTop1Router) and GShard (2006.16668, algorithm 1) count.
    `score`: the highest router probability first, ties as under `position`.
    """
    n_experts = capacity.shape[1]
    # Choice-major: index rank * tokens + token.
    experts, asked = _choice_major(chosen), _choice_major(wanted)
    # What is not wanted sorts last, so that it takes nobody's place.
    key = torch.where(asked, _choice_major(score), float("-inf"))
    ranked = key.argsort(dim=1, descending=True, stable=True) if order == "score" else None
    if ranked is not None:
        experts, asked = experts.gather(1, ranked), asked.gather(1, ranked)
    queue = (one_hot(experts, n_experts) * asked[..., None]).cumsum(dim=1)
    place = queue.gather(2, experts[..., None]).squeeze(2)
    kept = asked & (place <= capacity.gather(1, experts))
    if ranked is not None:
        kept = torch.zeros_like(kept).scatter(1, ranked, kept)
    groups, tokens, k = chosen.shape
    return kept.reshape(groups, k, tokens).transpose(1, 2)


def _choice_major(value: Tensor) -> Tensor:
    return value.transpose(1, 2).flatten(1)
