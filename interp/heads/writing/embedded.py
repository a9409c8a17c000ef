"""Heads fed the bare embeddings, whatever their layer, as arXiv 2212.09095 scores copying."""

from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.hook_points import HookPoint

from interp.heads.attention import HeadGeometry
from interp.heads.attention.batch import HeadBatch
from interp.heads.writing.repeated import Sample

_Seen = dict[str, Tensor]


def embedded_copying(
    geometry: HeadGeometry, batch: HeadBatch, *, controls: int, seed: int
) -> Float[np.ndarray, "batch labels layers n_heads"]:
    """Copying by the literal formula of 2212.09095, mean over queries, for each sequence.

    Every block's input is the embedding of the tokens (and positions). With p the softmax of
    v_j W_O + b_O through the unembedding, at the *current* position j and without the final norm,
    and q = max(0, p - mean) over the tokens seen so far: q of the token attended to most over the
    sum of q. Only the first repeat is read. Controls replace the token attended to by another seen.
    """
    samples = [Sample.of(batch, row) for row in range(batch.size)]
    seen: _Seen = {}
    layers: list[list[Tensor]] = []
    shares = partial(_shares, geometry, batch, samples, controls, seed)
    hooks: list[tuple[str, Any]] = [("blocks.0.hook_resid_pre", partial(_keep, seen, "embedding"))]
    for layer in range(geometry.n_layers):
        if layer > 0:
            hooks.append((f"blocks.{layer}.hook_resid_pre", partial(_give, seen)))
        hooks.append((geometry.v_site(layer), partial(_keep, seen, f"v{layer}")))
        hooks.append((geometry.pattern_site(layer), partial(_keep, seen, f"pattern{layer}")))
        # The next block's input is read after both: what a layer needs can go.
        hooks.append(
            (f"blocks.{layer}.hook_resid_post", partial(_reduce, seen, layer, shares, layers))
        )
    tokens = torch.from_numpy(batch.tokens.astype(np.int64)).to(geometry.device)
    with geometry.bridge.hooks(fwd_hooks=hooks), torch.no_grad():
        geometry.bridge(tokens, return_type=None)
    stacked = torch.stack([torch.stack(rows) for rows in layers])
    return stacked.permute(1, 3, 0, 2).double().cpu().numpy()


def _keep(seen: _Seen, name: str, value: Tensor, *, hook: HookPoint) -> None:  # noqa: ARG001
    seen[name] = value.detach()


def _give(seen: _Seen, value: Tensor, *, hook: HookPoint) -> Tensor:  # noqa: ARG001
    del value
    return seen["embedding"].clone()


def _reduce(
    seen: _Seen,
    layer: int,
    shares: Any,
    layers: list[list[Tensor]],
    value: Tensor,
    *,
    hook: HookPoint,  # noqa: ARG001
) -> None:
    del value
    layers.append(shares(layer, seen.pop(f"pattern{layer}"), seen.pop(f"v{layer}")))


def _shares(
    geometry: HeadGeometry,
    batch: HeadBatch,
    samples: list[Sample],
    controls: int,
    seed: int,
    layer: int,
    pattern: Tensor,
    v: Tensor,
) -> list[Float[Tensor, "n_heads labels"]]:
    values = geometry.expanded(v)
    rows = []
    for row, sample in enumerate(samples):
        stop = sample.first.stop
        ids = torch.from_numpy(batch.tokens[row, :stop].astype(np.int64)).to(v.device)
        W_U, gain = geometry.W_U[:, ids], geometry.output_gain(layer)
        maps = (geometry.W_O(layer) * gain) @ W_U
        bias = (geometry.b_O(layer) * gain) @ W_U + geometry.b_U[ids]
        logits = torch.einsum("jhd,hdt->hjt", values[row, :stop], maps) + bias
        rng = np.random.default_rng([seed, sample.sequence])
        others = torch.from_numpy(rng.random((stop, controls))).to(v.device)
        rows.append(
            attended_most(logits, pattern[row, :, :stop, :stop], others)[:, :, sample.start :].mean(
                -1
            )
        )
    return rows


def attended_most(
    logits: Float[Tensor, "n_heads query tokens"],
    attention: Float[Tensor, "n_heads query tokens"],
    others: Float[Tensor, "query controls"],
) -> Float[Tensor, "n_heads labels query"]:
    """Share of the token attended to most among what is raised of those seen; then of controls.

    `others` are numbers in [0, 1) that choose the controls among the tokens seen.
    """
    n = logits.shape[-1]
    visible = torch.ones(n, n, dtype=torch.bool, device=logits.device).tril()
    p = logits.masked_fill(~visible, -torch.inf).softmax(-1)
    count = torch.arange(1, n + 1, device=logits.device)
    raised = torch.where(visible, p - 1 / count[:, None], 0.0).clamp_min(0)
    total = raised.sum(-1, keepdim=True)
    shares = torch.where(total > 0, raised / torch.where(total > 0, total, 1.0), 0.0)
    most = attention.masked_fill(~visible, -1).argmax(-1, keepdim=True)
    drawn = (others * count[:, None]).long().expand(len(logits), -1, -1)
    return shares.gather(-1, torch.cat([most, drawn], dim=-1)).transpose(1, 2)
