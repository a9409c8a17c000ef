"""Gates: when a head attends to the head entity of a triplet (arXiv 2402.13055, eq. 1)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.heads.relations.choices import RelationChoices


@dataclass(frozen=True, kw_only=True)
class Attended:
    """How much every head attends to the mentions of each event's head entity."""

    each: Float[Tensor, "events n_heads mentions"]
    """0 for mentions that an event does not have."""
    top: Float[Tensor, "events n_heads"]
    """The most attended mention."""
    others: Float[Tensor, "events n_heads"]
    """The most attended key that is neither a mention nor the first position; -1 if there is none,
    and infinite where a key outdoes every mention and which one does not matter."""
    first: Float[Tensor, "events n_heads"]
    """Attention to the first position, -1 where that is a mention."""

    @property
    def mass(self) -> Float[Tensor, "events n_heads"]:
        """Attention to the mentions together."""
        return self.each.sum(dim=-1)


def attended(
    pattern: Float[Tensor, "batch n_heads query key"],
    batch: Int[Tensor, " events"],
    query: Int[Tensor, " events"],
    anchors: Int[Tensor, "events mentions"],
) -> Attended:
    """Read the pattern at events; anchors are positions, -1 where an event has fewer mentions."""
    there = anchors >= 0
    each = pattern[batch[:, None], :, query[:, None], anchors.clamp(min=0)]
    each = each.masked_fill(~there[..., None], 0.0).permute(0, 2, 1)
    top = each.amax(dim=-1)
    first = pattern[batch, :, query, 0].masked_fill((anchors == 0).any(dim=-1, keepdim=True), -1.0)
    return Attended(
        each=each, top=top, others=_others(pattern, batch, query, anchors, top), first=first
    )


def _others(
    pattern: Float[Tensor, "batch n_heads query key"],
    batch: Int[Tensor, " events"],
    query: Int[Tensor, " events"],
    anchors: Int[Tensor, "events mentions"],
    top: Float[Tensor, "events n_heads"],
) -> Float[Tensor, "events n_heads"]:
    """The largest other key, looked up only where a mention is the largest of all."""
    n_keys = pattern.shape[-1]
    if n_keys == 1:
        return torch.full_like(top, -1.0)
    rows, row = torch.unique(batch * n_keys + query, return_inverse=True)
    read = pattern[rows // n_keys, :, rows % n_keys, 1:]
    event, head = torch.nonzero(top >= read.amax(dim=-1)[row], as_tuple=True)
    keys = read[row[event], head]
    # Column 0, the first position or no mention at all, is cut off again.
    mention = torch.zeros(len(event), n_keys, dtype=torch.bool, device=pattern.device)
    mention.scatter_(1, anchors[event].clamp(min=0), True)
    others = torch.full_like(top, torch.inf)
    others[event, head] = keys.masked_fill(mention[:, 1:], -1.0).amax(dim=-1)
    return others


def gate(
    read: Attended, choices: RelationChoices, *, keep_first: bool
) -> Bool[Tensor, "events n_heads"]:
    """Which heads attend to the head entity at which events.

    Ties fail; a mention with no other key to compare with passes. Where the first position may not
    win (`keep_first` False), `choices.least` attention to the mentions is asked for instead.
    """
    if choices.gate == "none":
        return torch.ones_like(read.top, dtype=torch.bool)
    if choices.gate == "mass":
        return read.mass >= choices.alpha
    factor = choices.tau if choices.gate == "dominance" else 1.0
    passed = read.top > factor * read.others
    if keep_first:
        return passed & (read.top > factor * read.first)
    return passed & (read.mass >= choices.least)
