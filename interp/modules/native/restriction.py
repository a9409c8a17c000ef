"""Closing experts to the routers of a model, and what each function loses by it.

Editing `mlp.gate.hook_out` does nothing in top-k models: the bridge hands the logits out beside
choices that are made already (and in Switch it holds the choices themselves). So a restricted
block is computed anew from its input and put in the place of its output.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import TokenBatch
from interp.interventions import Intervention, intervened, splice
from interp.modules.native.blocks import NativeBlock
from interp.modules.native.experts import block_output
from interp.modules.native.functions import FunctionRouting
from interp.modules.native.reading import forward
from interp.modules.native.restriction_effect import Mode, RestrictionEffect
from interp.results.bootstrap import ratio_bootstrap
from interp.results.errors import BadInput

Experts = Bool[np.ndarray, "layers experts"]


def restrict_router(block: NativeBlock, allowed: Bool[Tensor, " experts"]) -> Intervention:
    """The block as it would be if its router could choose among `allowed` experts only.

    Raises BadInput if fewer are allowed than each token chooses.
    """
    n = int(allowed.sum())
    if n < block.top_k:
        raise BadInput(
            f"{block.site}: {n} experts are open, and each token chooses {block.top_k}: leave at "
            "least as many"
        )
    return splice(
        f"{block.site}.hook_out",
        lambda x: block_output(block, x, allowed=allowed.to(x.device)),
        reads=f"{block.site}.hook_in",
    )


def closing(blocks: Sequence[NativeBlock], experts: Experts, mode: Mode) -> list[Intervention]:
    """The interventions of one set of experts; layers without any are left as they are."""
    return [
        restrict_router(block, torch.from_numpy(own if mode == "only" else ~own))
        for block, own in zip(blocks, experts, strict=True)
        if own.any()
    ]


def experts_to_close(
    found: FunctionRouting, *, mode: Mode, top_k: int, fdr: float
) -> Bool[np.ndarray, "functions layers experts"]:
    """The functional experts of every function, as many as can be closed, by falling lift.

    `forbid` leaves `top_k` experts open; `only` needs `top_k` of them, and takes none in a layer
    that has fewer.
    """
    functional = found.functional(fdr=fdr).swapaxes(0, 1)
    lift = np.where(functional, found.lift.swapaxes(0, 1), -np.inf)
    rank = (-lift).argsort(axis=2, kind="stable").argsort(axis=2, kind="stable")
    if mode == "forbid":
        return functional & (rank < functional.shape[2] - top_k)
    return functional & (functional.sum(axis=2, keepdims=True) >= top_k)


def random_experts(experts: Experts, *, rng: np.random.Generator) -> Experts:
    """As many experts of each layer, drawn from all of it."""
    return rng.permuted(experts, axis=1)


class LossSums(NamedTuple):
    """Sums of the loss by (document, function), for every condition."""

    document: Int64[np.ndarray, " keys"]
    function: Int64[np.ndarray, " keys"]
    n_tokens: Int64[np.ndarray, " keys"]
    loss: Float64[np.ndarray, "keys conditions"]


def measure_losses(
    bridge: TransformerBridge,
    blocks: Sequence[NativeBlock],
    conditions: Sequence[tuple[Experts, Mode]],
    batches: Iterator[TokenBatch],
    *,
    label: str,
) -> list[LossSums]:
    """One `LossSums` a batch: of the model as it is, then under every condition."""
    edits = [[], *(closing(blocks, experts, mode) for experts, mode in conditions)]
    return [_batch_losses(bridge, edits, batch, label) for batch in batches]


def restriction_effect(
    sums: Sequence[LossSums],
    found: FunctionRouting,
    experts: Bool[np.ndarray, "functions layers experts"],
    *,
    mode: Mode,
    draws: int,
    rng: np.random.Generator,
) -> RestrictionEffect:
    """The effect from sums in the order of `conditions_of`."""
    table = _added(sums)
    n = len(found.functions)
    change = np.full((n, 1 + draws, n), np.nan)
    interval = np.full((n, n, 2), np.nan)
    base = np.full(n, np.nan)
    n_tokens = np.zeros(n, np.int64)
    tested = np.asarray(experts.any(axis=(1, 2)))
    place = np.cumsum(tested) - 1
    for g, function in enumerate(found.codes):
        rows = table.function == function
        loss, count = table.loss[rows], table.n_tokens[rows]
        n_tokens[g], base[g] = count.sum(), loss[:, 0].sum() / count.sum()
        for f in np.flatnonzero(tested):
            first = 1 + place[f] * (1 + draws)
            delta = loss[:, first : first + 1 + draws] - loss[:, :1]
            change[f, :, g] = delta.sum(axis=0) / count.sum()
            if len(count) > 1:
                ends = ratio_bootstrap(delta[:, 0], count.astype(float), rng=rng, draws=1000)
                interval[f, g] = ends.low, ends.high
    return RestrictionEffect(
        mode=mode,
        functions=found.functions,
        tested=tested,
        experts=experts,
        base=base,
        change=change[:, 0],
        change_interval=interval,
        random_change=change[:, 1:],
        n_tokens=n_tokens,
    )


def conditions_of(
    experts: Bool[np.ndarray, "functions layers experts"],
    *,
    mode: Mode,
    draws: int,
    rng: np.random.Generator,
) -> list[tuple[Experts, Mode]]:
    """For each function that has experts: its own set, then `draws` random ones of its size."""
    return [
        (chosen, mode)
        for own in experts
        if own.any()
        for chosen in [own, *(random_experts(own, rng=rng) for _ in range(draws))]
    ]


@torch.no_grad()
def _batch_losses(
    bridge: TransformerBridge,
    edits: Sequence[list[Intervention]],
    batch: TokenBatch,
    label: str,
) -> LossSums:
    losses = []
    for edit in edits:
        with intervened(bridge, edit):
            logits = forward(bridge, batch, return_type="logits")
        losses.append(_token_losses(bridge, logits, batch))
    predicted = batch.attention_mask & ~batch.special & (batch.labels[label] >= 0)
    if not _is_encoder_decoder(bridge):
        predicted = predicted[:, 1:]
    start = batch.tokens.shape[1] - predicted.shape[1]
    pairs = np.stack([batch.document[:, start:], batch.labels[label][:, start:]], axis=-1)
    keys, of = np.unique(pairs[predicted].astype(np.int64), axis=0, return_inverse=True)
    kept = np.stack([loss[predicted] for loss in losses], axis=1)
    total = np.zeros((len(keys), len(edits)))
    np.add.at(total, of.reshape(-1), kept)
    n_tokens = np.bincount(of.reshape(-1), minlength=len(keys))
    return LossSums(keys[:, 0], keys[:, 1], n_tokens, total)


def _token_losses(
    bridge: TransformerBridge, logits: Float[Tensor, "batch pos d_vocab"], batch: TokenBatch
) -> Float64[np.ndarray, "batch predicted"]:
    """Cross-entropy of every predicted token: all of a decoder fed shifted, else all but one."""
    tokens = torch.from_numpy(batch.tokens).to(logits.device)
    if not _is_encoder_decoder(bridge):
        logits, tokens = logits[:, :-1], tokens[:, 1:]
    loss = cross_entropy(logits.float().flatten(0, 1), tokens.flatten(), reduction="none")
    return loss.reshape(tokens.shape).double().cpu().numpy()


def _is_encoder_decoder(bridge: TransformerBridge) -> bool:
    config: Any = bridge.original_model.config
    return bool(config.is_encoder_decoder)


def _added(sums: Sequence[LossSums]) -> LossSums:
    joined = LossSums(*(np.concatenate(part) for part in zip(*sums, strict=True)))
    pairs = np.stack([joined.document, joined.function], axis=1)
    keys, of = np.unique(pairs, axis=0, return_inverse=True)
    loss = np.zeros((len(keys), joined.loss.shape[1]))
    np.add.at(loss, of.reshape(-1), joined.loss)
    count = np.zeros(len(keys), np.int64)
    np.add.at(count, of.reshape(-1), joined.n_tokens)
    return LossSums(keys[:, 0], keys[:, 1], count, loss)
