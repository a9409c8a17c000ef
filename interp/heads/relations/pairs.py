"""Pairs: the gated events of one layer, head by head, and what is measured of each."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.heads.attention.reading import LayerView
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.gates import Attended
from interp.heads.relations.gathering import BatchEvents
from interp.heads.relations.shares import (
    label_shares,
    probabilities,
    raise_over_others,
    raised_shares,
    undefined,
)
from interp.heads.relations.written import maps, values


class Pairs(NamedTuple):
    """Gated events of one layer, with what is known before the final norm's scale is."""

    layer: int
    event: Int[Tensor, " pairs"]
    head: Int[Tensor, " pairs"]
    mass: Float[Tensor, " pairs"]
    scale: Float[Tensor, " pairs"] | None
    """Of a norm between attention and the residual, at the event."""
    logits: Float[Tensor, "pairs n"]
    """Of the write per unit of attention, times the final scale."""
    everything: Float[Tensor, "pairs n"]
    """Of all that the head reads."""


class Measured(NamedTuple):
    """Numbers of each pair."""

    labels: Float[Tensor, "pairs labels"]
    defined: Bool[Tensor, " pairs"]
    raised: Float[Tensor, " pairs"]
    """Times the scales."""
    uniform: Float[Tensor, " pairs"]
    copying: Float[Tensor, " pairs"]
    copied: Bool[Tensor, " pairs"]


def gated_pairs(
    view: LayerView,
    events: BatchEvents,
    choices: RelationChoices,
    read: Attended,
    passed: Bool[Tensor, "events n_heads"],
) -> Pairs:
    event, head = torch.nonzero(passed, as_tuple=True)
    row, query = events.batch[event], events.position[event]
    value = values(view, choices, events.tokens)
    through = maps(view.geometry, choices, view.layer, events.columns)
    mixed = view.pattern @ value.transpose(1, 2)
    everything = _at(mixed, through, row, head, query)
    mass = read.mass[event, head]
    if choices.operand == "head":
        logits, mass = everything, torch.ones_like(mass)
    elif choices.operand == "current":
        logits, mass = _at(value.transpose(1, 2), through, row, head, query), torch.ones_like(mass)
    else:
        share = read.each[event, head] / mass.clamp(min=torch.finfo(mass.dtype).tiny)[:, None]
        logits = _of_mentions(value, through, row, head, events.anchors[event], share)
    scale = None if view.output_scale is None else view.output_scale[row, query, 0]
    return Pairs(view.layer, event, head, mass, scale, logits, everything)


def _at(
    value: Float[Tensor, "batch n_heads pos d_head"],
    through: Float[Tensor, "batch n_heads d_head n"],
    row: Int[Tensor, " pairs"],
    head: Int[Tensor, " pairs"],
    position: Int[Tensor, " pairs"],
) -> Float[Tensor, "pairs n"]:
    """Logits of the values at some positions, those that are asked for computed once."""
    wanted, place = torch.unique(row * value.shape[2] + position, return_inverse=True)
    if len(wanted) == 0:
        return through.new_zeros(0, through.shape[-1])
    rows, positions = wanted // value.shape[2], wanted % value.shape[2]
    width = int(torch.bincount(rows).max())
    # The wanted positions of each sequence, side by side, so that one product serves all heads.
    rank = torch.arange(len(wanted), device=rows.device)
    rank = rank - torch.searchsorted(rows, rows)
    index = torch.zeros(len(value), width, dtype=torch.long, device=rows.device)
    index[rows, rank] = positions
    chosen = value.gather(2, index[:, None, :, None].expand(-1, value.shape[1], -1, value.shape[3]))
    return (chosen @ through)[row, head, rank[place]]


def _of_mentions(
    value: Float[Tensor, "batch pos n_heads d_head"],
    through: Float[Tensor, "batch n_heads d_head n"],
    row: Int[Tensor, " pairs"],
    head: Int[Tensor, " pairs"],
    anchors: Int[Tensor, "pairs mentions"],
    share: Float[Tensor, "pairs mentions"],
) -> Float[Tensor, "pairs n"]:
    by_head = value.transpose(1, 2)
    logits = through.new_zeros(len(row), through.shape[-1])
    for mention in range(anchors.shape[1]):
        of = torch.nonzero(anchors[:, mention] >= 0)[:, 0]
        part = _at(by_head, through, row[of], head[of], anchors[of, mention])
        logits.index_add_(0, of, part * share[of, mention, None])
    return logits


def measured_pairs(
    pairs: Pairs,
    events: BatchEvents,
    logits: Float[Tensor, "pairs n"],
    everything: Float[Tensor, "pairs n"],
    choices: RelationChoices,
) -> Measured:
    mask = events.mask[pairs.event]
    labels = events.labels[events.triplet[pairs.event]]
    tail = labels[:, 0]

    def shares(of: Tensor) -> Tensor:
        return raised_shares(probabilities(of, mask) if choices.read == "prob" else of, mask)

    own = shares(logits)
    whole = own if choices.operand == "head" else shares(everything)
    return Measured(
        labels=label_shares(own, labels).double(),
        defined=~undefined(logits, mask),
        raised=raise_over_others(logits, mask, tail),
        uniform=1.0 / mask.sum(dim=-1),
        copying=whole.gather(1, tail[:, None])[:, 0].double(),
        copied=~undefined(everything, mask),
    )
