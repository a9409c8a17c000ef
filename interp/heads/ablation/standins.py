"""What stands in for a head's output: zeros, its mean, or what it gave elsewhere in the text.

All is read in one pass over the model as it is, which answers the events too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.asking import (
    WHERES,
    AskedBatch,
    Where,
    measured,
    place_logits,
    positions_of,
)
from interp.heads.ablation.replacing import Mode, by_layer, head_interventions, z_sites
from interp.heads.ablation.result import MEASURES
from interp.heads.columns import Head
from interp.interventions.attribution import site_values
from interp.interventions.heads import on_heads
from interp.interventions.intervention import Intervention, splice
from interp.results.errors import BadInput

POOL = 4096
"""Tokens at most whose outputs are kept to resample from."""


@dataclass(frozen=True, kw_only=True)
class StandIns:
    """Means and rows of every head, taken over the tokens that each `where` replaces."""

    means: dict[Where, dict[int, Float[Tensor, "n_heads d_head"]]]
    rows: dict[Where, dict[int, Float[Tensor, "_ n_heads d_head"]]]
    donors: dict[Where, list[Int[Tensor, "_ _"]]]
    """For each batch, the row that stands in at a token: of another document where there is one."""

    def edits(
        self,
        bridge: TransformerBridge,
        heads: Sequence[Head],
        *,
        mode: Mode,
        where: Where,
        batch: AskedBatch,
        number: int,
    ) -> list[Intervention]:
        """The interventions that replace `heads` in batch `number`."""
        mask = batch.where(where)
        if mode != "resample":
            return head_interventions(bridge, heads, mode, means=self.means[where], where=mask)
        donors, rows = self.donors[where][number], self.rows[where]
        edits = []
        for layer, own in by_layer(heads).items():
            drawn = rows[layer][:, own][donors]
            edit = splice(z_sites(bridge)[layer], lambda _, drawn=drawn: drawn, where=mask)
            edits.append(on_heads(edit, own))
        return edits


def stand_ins(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    batches: Sequence[AskedBatch],
    *,
    n_events: int,
    seed: int,
) -> tuple[StandIns, Float[np.ndarray, "measures events"]]:
    """Every stand-in, and the measures of the model as it is."""
    sites = z_sites(bridge)
    pools = {where: _pool(batches, where, corpus, seed) for where in WHERES}
    sums: dict[Where, dict[int, Tensor]] = {where: {} for where in WHERES}
    rows: dict[Where, dict[int, list[Tensor]]] = {where: {} for where in WHERES}
    base = np.full((len(MEASURES), n_events), np.nan)
    device = batches[0].tokens.device
    for number, batch in enumerate(batches):
        seen = site_values(
            bridge, sites, lambda batch=batch: measured(place_logits(bridge, batch), batch)
        )
        base[:, batch.events] = seen.result.cpu().numpy()
        for where in WHERES:
            replaced = batch.where(where)
            kept = torch.from_numpy(pools[where].kept[number]).to(replaced.device)
            for layer, site in enumerate(sites):
                z = seen.values[site]
                total = z[replaced].double().sum(0)
                sums[where][layer] = sums[where].get(layer, torch.zeros_like(total)) + total
                rows[where].setdefault(layer, []).append(z[kept])
    found = StandIns(
        means={w: _over(sums[w], pools[w].n_replaced) for w in WHERES},
        rows={w: {layer: torch.cat(parts) for layer, parts in rows[w].items()} for w in WHERES},
        donors={w: [torch.from_numpy(d).to(device) for d in pools[w].donors] for w in WHERES},
    )
    return found, base


def _over(sums: dict[int, Tensor], n: int) -> dict[int, Tensor]:
    return {layer: (total / n).float() for layer, total in sums.items()}


@dataclass(frozen=True)
class _Pool:
    kept: list[Bool[np.ndarray, "_ _"]]
    """Tokens whose outputs are kept, in each batch."""
    donors: list[Int[np.ndarray, "_ _"]]
    n_replaced: int


def _pool(batches: Sequence[AskedBatch], where: Where, corpus: RelationCorpus, seed: int) -> _Pool:
    """Tokens to keep, drawn at random, and for every token one of them in another document."""
    rng = np.random.default_rng([seed, 17, WHERES.index(where)])
    masks = [mask for _, mask in positions_of(batches, where)]
    counts = [int(mask.sum()) for mask in masks]
    if not sum(counts):
        raise BadInput("no token to replace: the sequences hold special tokens only")
    chosen = np.zeros(sum(counts), bool)
    chosen[rng.choice(sum(counts), min(POOL, sum(counts)), replace=False)] = True
    kept = []
    for mask, part in zip(masks, np.split(chosen, np.cumsum(counts)[:-1]), strict=True):
        own = np.zeros_like(mask)
        own[mask] = part
        kept.append(own)
    documents = [_documents(batch, corpus) for batch in batches]
    owner = np.concatenate([d[k] for d, k in zip(documents, kept, strict=True)])
    return _Pool(kept, [_donors(d, owner, rng) for d in documents], sum(counts))


def _documents(batch: AskedBatch, corpus: RelationCorpus) -> Int[np.ndarray, "batch pos"]:
    own = np.array([corpus.sequences[i].document for i in batch.sequences])
    return np.broadcast_to(own[:, None], tuple(batch.tokens.shape))


def _donors(
    documents: Int[np.ndarray, "batch pos"],
    owner: Int[np.ndarray, " rows"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "batch pos"]:
    """For every token a row of another document, each equally likely; any row if there is none."""
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], documents, side="left")
    own = np.searchsorted(owner[order], documents, side="right") - first
    others = len(owner) - own
    alone = others == 0
    steps = rng.integers(0, np.where(alone, len(owner), others))
    return order[(first + np.where(alone, 0, own) + steps) % len(owner)]
