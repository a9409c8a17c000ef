"""SuppressionMeasure: KL of the predictions with a head ablated, and with suppression preserved."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from interp.heads.attention import DirectLogits, HeadGeometry
from interp.heads.attention.batch import HeadBatch
from interp.heads.columns import Head
from interp.heads.suppression.effect import SuppressionEffect
from interp.heads.suppression.preserving import kl_divergence, most_predicted, preserved_write
from interp.results.errors import BadInput
from interp.results.provenance import Provenance


class SuppressionMeasure:
    """Adds up, batch by batch, how far ablated and preserved heads move the predictions."""

    def __init__(
        self,
        geometry: HeadGeometry,
        *,
        heads: Sequence[Head],
        means: dict[Head, Float[Tensor, " d_head"]],
        positions: int,
        share: float,
        draws: int,
        seed: int,
    ) -> None:
        self._g, self._heads, self._means = geometry, tuple(heads), means
        self._positions, self._share, self._draws, self._seed = positions, share, draws, seed
        every = torch.arange(geometry.d_vocab, device=geometry.device)
        self._unembed = DirectLogits(geometry).columns(every).float()
        self._sums: list[np.ndarray] = []
        self._counts: list[int] = []

    def read(self, batch: HeadBatch) -> None:
        """One forward pass; a row of KL sums for each sequence: [heads, ablated + preserved...]."""
        seen, logits = clean_pass(self._g, batch, sorted({head.layer for head in self._heads}))
        for row in range(batch.size):
            queries = self._queries(batch, row)
            if len(queries):
                of_heads = [
                    self._kl(batch, row, queries, head, seen, logits) for head in self._heads
                ]
                self._sums.append(np.stack(of_heads))
                self._counts.append(len(queries))

    def _queries(self, batch: HeadBatch, row: int) -> Int[np.ndarray, " places"]:
        text = np.flatnonzero(batch.is_query[row])[1:]
        rng = np.random.default_rng([self._seed, int(batch.sequence[row])])
        return np.sort(rng.choice(text, size=min(self._positions, len(text)), replace=False))

    def _kl(
        self,
        batch: HeadBatch,
        row: int,
        queries: Int[np.ndarray, " places"],
        head: Head,
        seen: dict[str, Tensor],
        logits: Float[Tensor, "batch pos d_vocab"],
    ) -> Float[np.ndarray, " variants"]:
        g, layer = self._g, head.layer
        at = torch.from_numpy(queries).to(g.device)
        W_O = (g.W_O(layer)[head.head] * g.output_gain(layer)).float()
        attention = seen[g.pattern_site(layer)][row, head.head, at].float()
        values = g.expanded(seen[g.v_site(layer)])[row, :, head.head].float()
        written, mean = values @ W_O, self._means[head] @ W_O
        scale = seen[g.final_scale_site][row, at].float()
        if (site := g.output_scale_site(layer)) is not None:
            scale = scale * seen[site][row, at].float()
        residual = seen[f"blocks.{layer}.hook_resid_pre"][row, at].float()
        clean, whole = logits[row, at], attention @ written
        columns = self._columns(batch, row)
        visible = self._visible(batch, row, at)
        found = [kl_divergence(clean, clean + (mean - whole) @ self._unembed / scale)]
        for step in self._steps(batch, row):
            direction = columns[_exchanged(batch, row, step)].to(g.device)
            kept = most_predicted(residual @ direction.T, visible, self._share)
            unit = torch.nn.functional.normalize(direction, dim=-1)
            write = preserved_write(attention, written, mean, unit, kept)
            found.append(kl_divergence(clean, clean + (write - whole) @ self._unembed / scale))
        return torch.stack(found).sum(-1).cpu().numpy()

    def _columns(self, batch: HeadBatch, row: int) -> Float[Tensor, "pos d_model"]:
        ids = torch.from_numpy(batch.tokens[row].astype(np.int64)).to(self._g.device)
        return self._unembed[:, ids].T

    def _visible(
        self, batch: HeadBatch, row: int, at: Int[Tensor, " places"]
    ) -> Bool[Tensor, "places pos"]:
        text = torch.from_numpy(batch.is_query[row]).to(self._g.device)
        place = torch.arange(len(text), device=self._g.device)
        return text[None] & (place[None] <= at[:, None])

    def _steps(self, batch: HeadBatch, row: int) -> list[int]:
        """0, the token itself, and for each draw how many tokens further on to take another."""
        n = int(batch.is_query[row].sum())
        rng = np.random.default_rng([self._seed, int(batch.sequence[row]), 1])
        return [0, *rng.integers(1, max(n, 2), size=self._draws).tolist()]

    def finish(
        self, bootstrap: int, provenance: Provenance, settings: dict[str, Any]
    ) -> SuppressionEffect:
        """Ratios of summed KL, with their bootstrap over sequences."""
        if not self._sums:
            raise BadInput("no sequence of the text holds two tokens: give a longer text")
        sums = np.stack(self._sums)
        explained, null = _explained(sums.sum(axis=0))
        rng = np.random.default_rng(self._seed)
        counts = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=bootstrap)
        drawn, drawn_null = _explained(np.einsum("bs,shv->bhv", counts, sums))
        over = drawn - drawn_null.mean(-1)
        n = sum(self._counts)
        return SuppressionEffect(
            heads=self._heads,
            explained=explained,
            interval=np.quantile(drawn, [0.025, 0.975], axis=0).T,
            null=null,
            over_null=np.stack(
                [explained - null.mean(-1), *np.quantile(over, [0.025, 0.975], axis=0)], axis=-1
            ),
            kl_ablated=sums[:, :, 0].sum(axis=0) / n,
            kl_preserved=sums[:, :, 1].sum(axis=0) / n,
            n_positions=n,
            n_sequences=len(sums),
            provenance=provenance,
            settings=settings,
        )


def _explained(
    sums: Float[np.ndarray, "*rows heads variants"],
) -> tuple[Float[np.ndarray, "*rows heads"], Float[np.ndarray, "*rows heads draws"]]:
    ablated = sums[..., :1]
    known = ablated > 1e-12
    ratio = 1 - np.divide(
        sums[..., 1:], ablated, out=np.full(sums[..., 1:].shape, np.nan), where=known
    )
    return ratio[..., 0], ratio[..., 1:]


def _exchanged(batch: HeadBatch, row: int, step: int) -> Int[np.ndarray, " pos"]:
    """Every position, those of text exchanged for the one `step` further on in the text."""
    text = np.flatnonzero(batch.is_query[row])
    order = np.arange(batch.tokens.shape[1])
    order[text] = np.roll(text, -step)
    return order


def clean_pass(
    geometry: HeadGeometry, batch: HeadBatch, layers: Sequence[int]
) -> tuple[dict[str, Tensor], Float[Tensor, "batch pos d_vocab"]]:
    """What the forward pass holds at the sites of some layers, and the logits."""
    sites = [geometry.final_scale_site]
    for layer in layers:
        sites += [f"blocks.{layer}.hook_resid_pre", geometry.pattern_site(layer)]
        sites += [geometry.v_site(layer)]
        sites += [site] if (site := geometry.output_scale_site(layer)) else []
    seen: dict[str, Tensor] = {}

    def take(site: str, value: Tensor, *, hook: HookPoint) -> None:  # noqa: ARG001
        seen[site] = value.detach()

    tokens = torch.from_numpy(batch.tokens.astype(np.int64)).to(geometry.device)
    mask: dict[str, Any] = {}
    if not batch.attention_mask.all():
        mask["attention_mask"] = torch.from_numpy(batch.attention_mask).to(geometry.device).long()
    hooks = [(site, partial(take, site)) for site in sites]
    with geometry.bridge.hooks(fwd_hooks=hooks), torch.no_grad():
        logits = geometry.bridge(tokens, return_type="logits", **mask)
    return seen, logits.float()
