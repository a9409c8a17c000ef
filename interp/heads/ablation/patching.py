"""What the tail's margin loses when a head is given its output on the corrupted sequence.

For all heads to first order, and for some of them exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.asking import AskedBatch, margins, place_logits
from interp.heads.ablation.corrupting import Side, corrupted_sequences
from interp.heads.ablation.events import Events
from interp.heads.ablation.replacing import by_layer, z_sites
from interp.heads.columns import Head
from interp.interventions.attribution import attribution_patching, site_values
from interp.interventions.heads import on_heads
from interp.interventions.intervention import splice
from interp.interventions.running import intervened


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """The batches with two entities of one side exchanged, and the events that concerns."""

    side: Side
    tokens: list[Int[Tensor, "_ _"]]
    concerned: Bool[np.ndarray, " events"]
    """Events whose own entity of that side has moved."""


def corrupt(
    corpus: RelationCorpus,
    events: Events,
    batches: Sequence[AskedBatch],
    *,
    side: Side,
    seed: int,
) -> Corrupted:
    """Every batch with its sequences corrupted, whatever the batches are."""
    made = corrupted_sequences(corpus, side, seed=seed)
    tokens = []
    for batch in batches:
        new = batch.tokens.cpu().numpy().copy()
        for row, index in enumerate(batch.sequences):
            kept = made[index][0][: new.shape[1]]
            new[row, : len(kept)] = kept
        tokens.append(torch.from_numpy(new).to(batch.tokens.device))
    moved = np.array(
        [
            bool(made[s][1] & {owner})
            for s, owner in zip(events.sequence, _owners(events, side), strict=True)
        ],
        dtype=bool,
    )
    return Corrupted(side=side, tokens=tokens, concerned=moved)


def _owners(events: Events, side: Side) -> Int[np.ndarray, " events"]:
    return events.tail_entity if side == "tails" else events.head_entity


@torch.no_grad()
def corrupted_margins(
    bridge: TransformerBridge, batches: Sequence[AskedBatch], corrupted: Corrupted
) -> Float[np.ndarray, " events"]:
    """The margin of the same tail over the same controls where the sequence is corrupted."""
    found = np.empty(len(corrupted.concerned))
    for batch, tokens in zip(batches, corrupted.tokens, strict=True):
        values = margins(place_logits(bridge, batch, tokens), batch)
        found[batch.events] = values.cpu().numpy()
    return found


def attributed_drops(
    bridge: TransformerBridge,
    batches: Sequence[AskedBatch],
    corrupted: Corrupted,
    weights: Sequence[Float[np.ndarray, "metrics _"]],
    advance: Callable[[int], None],
) -> Float[np.ndarray, "metrics sequences layers heads"]:
    """For every sequence, metric and head, the first-order drop of a weighted sum of margins.

    `weights` has one array a batch, a row a metric, over the events of the batch; sequences stand
    in the order of the batches.
    """
    sites = z_sites(bridge)
    parts = []
    for batch, tokens, weight in zip(batches, corrupted.tokens, weights, strict=True):
        weighing = torch.from_numpy(weight).to(batch.tokens.device, torch.float32)

        def metric(
            logits: Tensor, batch: AskedBatch = batch, weighing: Tensor = weighing
        ) -> Tensor:
            each = weighing * margins(logits, batch)
            zeros = torch.zeros(len(weighing), len(batch.sequences), device=each.device)
            return zeros.index_add(1, batch.row, each)

        found = attribution_patching(
            bridge,
            sites,
            tokens=batch.tokens,
            corrupted=tokens,
            metric=metric,
            run=lambda text, batch=batch: place_logits(bridge, batch, text),
        )
        drops = torch.stack([found.drop[site].sum(2) for site in sites], dim=2)
        parts.append(drops.double().cpu().numpy())
        advance(1)
    return np.concatenate(parts, axis=1)


@torch.no_grad()
def patched_margins(
    bridge: TransformerBridge,
    batches: Sequence[AskedBatch],
    corrupted: Corrupted,
    heads: Sequence[Head],
    advance: Callable[[int], None],
) -> Float[np.ndarray, "heads events"]:
    """The margin at every event when one head after another has its corrupted output."""
    sites = z_sites(bridge)
    found = np.empty((len(heads), len(corrupted.concerned)))
    for batch, tokens in zip(batches, corrupted.tokens, strict=True):
        held = site_values(
            bridge, sites, lambda batch=batch, tokens=tokens: place_logits(bridge, batch, tokens)
        ).values
        for i, head in enumerate(heads):
            with intervened(bridge, [_patch(head, held[sites[head.layer]], sites)]):
                values = margins(place_logits(bridge, batch), batch)
            found[i, batch.events] = values.cpu().numpy()
            advance(1)
    return found


def _patch(head: Head, value: Tensor, sites: Sequence[str]):
    own = by_layer([head])[head.layer]
    edit = splice(sites[head.layer], lambda _: value[:, :, own])
    return on_heads(edit, own)
