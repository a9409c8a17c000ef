"""What a capacity drops and pads, and how much of both Rectify-Router would put to use.

Tokens are routed in groups, the tokens of one device before they are exchanged. In each group an
expert has `capacity` slots; assignments beyond it are dropped, and slots that stay empty are
padding. Group g lies on device g mod `devices`, expert e on device e // (experts / devices).

The two rectifications of arXiv 2402.12399, as counts:

- *Intra-device*: a dropped assignment is computed by an expert on the token's own device, which
  costs no exchange and is under no capacity (so the authors' code has it: tokens without a place
  are computed at their device). Recovered are as many of a token's dropped assignments as there
  are experts on its device that do not serve it yet; with at least k experts a device that is
  all of them. `intra_in_slots` counts the stricter form that adds no computation either: only
  what finds an empty slot of the best experts on the device that the token did not choose.
- *Fill-in*: an empty slot takes a token with a high router score. Each token offers itself to its
  best expert that it did not choose, its (k+1)-th; each expert takes the highest scores first.

The paper's text gives the rules in words; that a token offers itself to one expert only, and the
strict form of the first, are our reading.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from interp.modules.native.router import Order, Routing, kept_within
from interp.results.errors import BadInput

Rounding = Literal["ceil", "floor"]


class CapacityCounts(NamedTuple):
    """Counts of each group; every field has one entry a group."""

    tokens: Int[Tensor, " groups"]
    assigned: Int[Tensor, " groups"]
    """k times the tokens."""
    dropped: Int[Tensor, " groups"]
    unserved: Int[Tensor, " groups"]
    """Tokens that lost all their experts."""
    slots: Int[Tensor, " groups"]
    padded: Int[Tensor, " groups"]
    intra: Int[Tensor, " groups"]
    """Dropped assignments that intra-device rectification recovers."""
    intra_in_slots: Int[Tensor, " groups"]
    """Of them, what finds an empty slot."""
    filled: Int[Tensor, " groups"]
    """Padded slots that fill-in rectification uses."""
    filled_unserved: Int[Tensor, " groups"]
    """Of them, by tokens that lost all their experts."""


@dataclass(frozen=True, kw_only=True)
class CapacityRule:
    """How many tokens an expert takes, and which."""

    factor: float | None
    """Slots of all experts over assignments; None for the model's own capacity."""
    own: int | None
    """The model's own capacity, used where `factor` is None."""
    rounding: Rounding
    """Of factor * tokens * k / experts: up as DeepSpeed, down as Mesh TensorFlow."""
    order: Order
    devices: int
    group_sequences: int
    """Sequences in a group; 1 as Switch's code in transformers counts."""

    def __post_init__(self) -> None:
        if self.factor is not None and not (self.factor > 0 and math.isfinite(self.factor)):
            raise BadInput(f"capacity factor {self.factor}: expected a number above 0, as 1.25")
        if self.factor is None and self.own is None:
            raise BadInput("this model has no capacity of its own: state --capacity-factor")
        if self.group_sequences < 1:
            raise BadInput(f"{self.group_sequences} sequences in a group: at least 1")

    def check(self, n_experts: int) -> None:
        """BadInput if the experts cannot be dealt evenly to the devices."""
        if self.devices < 1 or n_experts % self.devices:
            raise BadInput(
                f"{n_experts} experts cannot be dealt evenly to {self.devices} devices: give a "
                f"number that divides {n_experts}"
            )

    def slots(self, n_tokens: int, *, top_k: int, n_experts: int) -> int:
        """Slots of one expert for a group of `n_tokens`."""
        if self.factor is None:
            return self.own or 0
        exact = self.factor * n_tokens * top_k / n_experts
        # A product such as 1.1 * 50 * 2 / 10 must not become 12 by its last binary digit.
        exact = round(exact, 9)
        return math.ceil(exact) if self.rounding == "ceil" else math.floor(exact)


def count_capacity(
    routing: Routing,
    valid: Bool[Tensor, "groups tokens"],
    group: Int[Tensor, " groups"],
    rule: CapacityRule,
) -> CapacityCounts:
    """The counts of each group. `routing` has groups * tokens rows; `valid` is False on padding."""
    groups, tokens = valid.shape
    n_experts, k = routing.probabilities.shape[1], routing.chosen.shape[1]
    probabilities = routing.probabilities.reshape(groups, tokens, n_experts)
    chosen = routing.chosen.reshape(groups, tokens, k)
    score = probabilities.gather(2, chosen)
    n = valid.sum(1)
    each = [rule.slots(int(i), top_k=k, n_experts=n_experts) for i in n]
    capacity = torch.tensor(each, device=valid.device)[:, None].expand(groups, n_experts)
    wanted = valid[..., None].expand_as(chosen)
    kept = kept_within(chosen, score, capacity, wanted=wanted, order=rule.order)
    dropped, unserved = wanted & ~kept, valid & ~kept.any(2)
    free = capacity - (one_hot(chosen, n_experts) * kept[..., None]).sum((1, 2))
    local = _local(group, n_experts, rule.devices)
    filled = _filled(probabilities, chosen, free, valid)
    return CapacityCounts(
        tokens=n,
        assigned=wanted.sum((1, 2)),
        dropped=dropped.sum((1, 2)),
        unserved=unserved.sum(1),
        slots=capacity.sum(1),
        padded=free.sum(1),
        intra=_intra(chosen, kept, dropped, local),
        intra_in_slots=_intra_in_slots(probabilities, chosen, dropped, free, local),
        filled=filled.sum(1),
        filled_unserved=(filled & unserved).sum(1),
    )


def _local(
    group: Int[Tensor, " groups"], n_experts: int, devices: int
) -> Bool[Tensor, "groups experts"]:
    """Whether each expert lies on the device of each group."""
    of_expert = torch.arange(n_experts, device=group.device) // (n_experts // devices)
    return of_expert[None, :] == (group % devices)[:, None]


def _intra(
    chosen: Int[Tensor, "groups tokens k"],
    kept: Bool[Tensor, "groups tokens k"],
    dropped: Bool[Tensor, "groups tokens k"],
    local: Bool[Tensor, "groups experts"],
) -> Int[Tensor, " groups"]:
    serving = (one_hot(chosen, local.shape[1]) * kept[..., None]).sum(2).bool()
    available = (local[:, None, :] & ~serving).sum(2)
    return torch.minimum(dropped.sum(2), available).sum(1)


def _intra_in_slots(
    probabilities: Float[Tensor, "groups tokens experts"],
    chosen: Int[Tensor, "groups tokens k"],
    dropped: Bool[Tensor, "groups tokens k"],
    free: Int[Tensor, "groups experts"],
    local: Bool[Tensor, "groups experts"],
) -> Int[Tensor, " groups"]:
    open_to = local[:, None, :] & ~_chose(chosen, local.shape[1])
    k = chosen.shape[2]
    score, best = probabilities.masked_fill(~open_to, -1.0).topk(k, dim=2)
    # The j-th dropped assignment of a token asks its j-th best expert on the device.
    rank = torch.arange(k, device=chosen.device)
    wanted = (rank < dropped.sum(2, keepdim=True)) & (score >= 0)
    return kept_within(best, score, free, wanted=wanted, order="score").sum((1, 2))


def _filled(
    probabilities: Float[Tensor, "groups tokens experts"],
    chosen: Int[Tensor, "groups tokens k"],
    free: Int[Tensor, "groups experts"],
    valid: Bool[Tensor, "groups tokens"],
) -> Bool[Tensor, "groups tokens"]:
    others = probabilities.masked_fill(_chose(chosen, free.shape[1]), -1.0)
    score, best = others.max(dim=2, keepdim=True)
    wanted = valid[..., None] & (score >= 0)
    return kept_within(best, score, free, wanted=wanted, order="score").squeeze(2)


def _chose(
    chosen: Int[Tensor, "groups tokens k"], n_experts: int
) -> Bool[Tensor, "groups tokens experts"]:
    return one_hot(chosen, n_experts).sum(2).bool()
