"""Asking a model: what its logits say of the tail at each event, under any interventions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.events import Events
from interp.heads.ablation.result import MEASURES
from interp.interventions.intervention import Intervention
from interp.interventions.running import intervened, watched

Where = Literal["event", "all"]
WHERES: tuple[Where, ...] = ("event", "all")


@dataclass(frozen=True, kw_only=True)
class AskedBatch:
    """Sequences that hold events, cut after the last position that is asked."""

    tokens: Int[Tensor, "batch pos"]
    attention_mask: Bool[Tensor, "batch pos"]
    sequences: Int[np.ndarray, " batch"]
    """Indices into the corpus."""
    asked: Bool[Tensor, "batch pos"]
    """Where an event is."""
    text: Bool[Tensor, "batch pos"]
    """Neither padding nor a special token."""
    events: Int[np.ndarray, " events"]
    """Indices into the events of the corpus."""
    row: Int[Tensor, " events"]
    place: Int[Tensor, " places"]
    """Flattened (batch, pos) of the positions that are asked, each once."""
    which: Int[Tensor, " events"]
    """The place of each event."""
    tail: Int[Tensor, " events"]
    controls: Int[Tensor, "events most"]
    target: Int[Tensor, " events"]

    def where(self, where: Where) -> Bool[Tensor, "batch pos"]:
        """The tokens that an ablation replaces."""
        return self.asked if where == "event" else self.text


def asked_batches(
    corpus: RelationCorpus, events: Events, *, batch_size: int, device: torch.device
) -> list[AskedBatch]:
    """Every sequence that has an event, in order; all on `device`, so as to be read many times."""
    holding = np.unique(events.sequence)
    return [
        _batch(corpus, events, holding[start : start + batch_size], device)
        for start in range(0, len(holding), batch_size)
    ]


def _batch(
    corpus: RelationCorpus, events: Events, chosen: Int[np.ndarray, " batch"], device: torch.device
) -> AskedBatch:
    own = np.flatnonzero(np.isin(events.sequence, chosen))
    row, position = np.searchsorted(chosen, events.sequence[own]), events.position[own]
    width = int(position.max()) + 1
    lengths = np.array([len(corpus.sequences[i].tokens) for i in chosen])
    special = corpus.special_tokens
    pad = next((i for i in (special.pad_id, special.eos_id) if i is not None), 0)
    tokens = np.full((len(chosen), width), pad, np.int64)
    for i, index in enumerate(chosen):
        kept = corpus.sequences[index].tokens[:width]
        tokens[i, : len(kept)] = kept
    mask = np.arange(width) < lengths[:, None]
    special_ids = {*special.special_ids, special.bos_id} - {None}
    place, which = np.unique(row * width + position, return_inverse=True)
    asked = np.zeros(tokens.size, bool)
    asked[place] = True

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    return AskedBatch(
        tokens=tensor(tokens),
        attention_mask=tensor(mask),
        sequences=chosen,
        asked=tensor(asked.reshape(tokens.shape)),
        text=tensor(mask & ~np.isin(tokens, list(special_ids))),
        events=own,
        row=tensor(row),
        place=tensor(place),
        which=tensor(which),
        tail=tensor(events.tail[own]),
        controls=tensor(events.controls[own]),
        target=tensor(events.target[own]),
    )


def place_logits(
    bridge: TransformerBridge, batch: AskedBatch, tokens: Int[Tensor, "batch pos"] | None = None
) -> Float[Tensor, "places d_vocab"]:
    """Logits at the batch's places alone: the others are left out before the unembedding."""

    def gather(hidden: Tensor) -> Tensor:
        return hidden.flatten(0, 1)[batch.place][None]

    padded = not bool(batch.attention_mask.all())
    arguments = {"attention_mask": batch.attention_mask.long()} if padded else {}
    with watched([(bridge.hook_dict["unembed.hook_in"], gather)]):
        logits = bridge(batch.tokens if tokens is None else tokens, **arguments)
    return logits[0].float()


def margins(logits: Float[Tensor, "places d_vocab"], batch: AskedBatch) -> Float[Tensor, " events"]:
    """logit(tail) - mean of logit(controls), at each event."""
    own, others, known = _read(logits, batch)
    return own - (others * known).sum(1) / known.sum(1)


def measured(
    logits: Float[Tensor, "places d_vocab"], batch: AskedBatch
) -> Float[Tensor, "measures events"]:
    """In the order of `MEASURES`; the loss is that of the token that does come next."""
    own, others, known = _read(logits, batch)
    ahead = own > others.masked_fill(~known, -torch.inf).amax(1)
    at_place = torch.logsumexp(logits, dim=1)[batch.which]
    loss = at_place - logits[batch.which, batch.target]
    return torch.stack([margins(logits, batch), loss, ahead.float()])


def _read(logits: Tensor, batch: AskedBatch) -> tuple[Tensor, Tensor, Tensor]:
    known = batch.controls >= 0
    others = logits[batch.which[:, None], batch.controls.clamp(min=0)]
    return logits[batch.which, batch.tail], others, known


Edits = Callable[[AskedBatch], Sequence[Intervention]]


@torch.no_grad()
def ask(
    bridge: TransformerBridge, batches: Sequence[AskedBatch], n_events: int, edits: Edits
) -> Float[np.ndarray, "measures events"]:
    """Every measure at every event, with the interventions that `edits` gives for a batch."""
    found = np.full((len(MEASURES), n_events), np.nan)
    for batch in batches:
        with intervened(bridge, edits(batch)):
            values = measured(place_logits(bridge, batch), batch)
        found[:, batch.events] = values.cpu().numpy()
    return found


def positions_of(
    batches: Sequence[AskedBatch], where: Where
) -> Iterator[tuple[AskedBatch, Bool[np.ndarray, "batch pos"]]]:
    """Each batch with the tokens that are replaced in it."""
    for batch in batches:
        yield batch, batch.where(where).cpu().numpy()
