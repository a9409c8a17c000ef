"""What an edit does to the next-token distributions on neutral text: KL and bits per byte."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.abilities.effects.side_effects import TextEffect
from interp.corpus import Corpus, TokenBatch
from interp.results.bootstrap import ratio_bootstrap
from interp.results.errors import BadInput, Mismatch

LENGTH = 512
"""Tokens of a sequence, where the model has room for them; a longer document becomes several."""
_LOGITS_AT_ONCE = 1 << 23


class Divergence(NamedTuple):
    """Of one position each, in nats."""

    kl: Float[Tensor, "rows pos"]
    nats_base: Float[Tensor, "rows pos"]
    nats_edited: Float[Tensor, "rows pos"]


@dataclass(frozen=True, kw_only=True)
class BySequence:
    """Sums over the predicted tokens of every sequence."""

    kl: Float[np.ndarray, " sequences"]
    nats_base: Float[np.ndarray, " sequences"]
    nats_edited: Float[np.ndarray, " sequences"]
    n_tokens: Float[np.ndarray, " sequences"]
    n_bytes: Float[np.ndarray, " sequences"]
    """UTF-8 bytes of what the predicted tokens decode to."""


def divergence(
    base: Float[Tensor, "rows pos d_vocab"],
    edited: Float[Tensor, "rows pos d_vocab"],
    target: Int[Tensor, "rows pos"],
) -> Divergence:
    """KL(base ‖ edited) = Σ_v p(v) (ln p(v) − ln q(v)) and −ln of the true token under each.

    In float64, so that equal logits give 0 and small changes are not lost in rounding.
    """
    log_p, log_q = base.double().log_softmax(-1), edited.double().log_softmax(-1)
    place = target[..., None]
    return Divergence(
        kl=(log_p.exp() * (log_p - log_q)).sum(-1),
        nats_base=-log_p.gather(-1, place)[..., 0],
        nats_edited=-log_q.gather(-1, place)[..., 0],
    )


@torch.no_grad()
def measure_text(
    base: nn.Module,
    edited: nn.Module,
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int = 8,
    advance: Callable[..., None] = lambda *_: None,
) -> BySequence:
    """Both models over the whole corpus, sequence by sequence.

    The first token of a sequence is given; special tokens are read and not predicted. Raises
    BadInput if nothing is predicted, Mismatch for vocabularies of different sizes.
    """
    parts: list[list[np.ndarray]] = []
    for batch in corpus.batches(batch_size):
        longest = int(batch.attention_mask.sum(1).max())
        tokens = torch.from_numpy(batch.tokens[:, :longest])
        counts = torch.from_numpy((batch.attention_mask & ~batch.special)[:, 1:longest])
        first, second = _logits(base, tokens), _logits(edited, tokens)
        if first.shape != second.shape:
            raise Mismatch(
                f"one model has {first.shape[-1]} tokens and the other {second.shape[-1]}: their "
                "distributions cannot be compared, leave the text out"
            )
        sums = _sums(first, second, tokens[:, 1:], counts)
        parts.append([*sums, counts.sum(1).numpy(), _bytes(batch, tokenizer)])
        advance(len(tokens))
    kl, nats_base, nats_edited, n_tokens, n_bytes = (
        np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True)
    )
    kept = n_tokens > 0
    if not kept.any():
        raise BadInput(f"{corpus.name} has no document of two tokens or more: nothing is predicted")
    return BySequence(
        kl=kl[kept],
        nats_base=nats_base[kept],
        nats_edited=nats_edited[kept],
        n_tokens=n_tokens[kept],
        n_bytes=n_bytes[kept],
    )


def text_effect(model: str, sums: BySequence, *, rng: np.random.Generator) -> TextEffect:
    """Means over all predicted tokens and bytes, with bootstrap intervals over sequences."""
    bits = sums.n_bytes * math.log(2)
    return TextEffect(
        model=model,
        kl=ratio_bootstrap(sums.kl, sums.n_tokens, rng=rng),
        bits_per_byte=float(sums.nats_edited.sum() / bits.sum()),
        bits_per_byte_change=ratio_bootstrap(sums.nats_edited - sums.nats_base, bits, rng=rng),
        n_tokens=int(sums.n_tokens.sum()),
        n_sequences=len(sums.n_tokens),
    )


def _logits(model: Any, tokens: Int[Tensor, "rows pos"]) -> Float[Tensor, "rows pred d_vocab"]:
    """Padding stands on the right, where causal attention does not look from a true token."""
    place = next(model.parameters()).device
    logits = model(input_ids=tokens.to(place), use_cache=False).logits[:, :-1]
    # Metal has no float64.
    return logits.cpu() if place.type == "mps" else logits


def _sums(
    first: Float[Tensor, "rows pos d_vocab"],
    second: Float[Tensor, "rows pos d_vocab"],
    target: Int[Tensor, "rows pos"],
    counts: Tensor,
) -> Float[np.ndarray, "3 rows"]:
    """Sums over each row's predicted tokens, a few positions at a time: float64 takes room."""
    place = first.device
    step = max(1, _LOGITS_AT_ONCE // (first.shape[0] * first.shape[-1]))
    total = torch.zeros(3, first.shape[0], dtype=torch.float64, device=place)
    for start in range(0, first.shape[1], step):
        part = slice(start, start + step)
        here = divergence(first[:, part], second[:, part], target[:, part].to(place))
        total += (torch.stack(here) * counts[:, part].to(place)).sum(-1)
    return total.cpu().numpy()


def _bytes(batch: TokenBatch, tokenizer: PreTrainedTokenizerBase) -> Int[np.ndarray, " rows"]:
    predicted = batch.attention_mask & ~batch.special
    predicted[:, 0] = False
    texts = [
        str(tokenizer.decode(row[kept].tolist(), clean_up_tokenization_spaces=False))
        for row, kept in zip(batch.tokens, predicted, strict=True)
    ]
    return np.array([len(text.encode()) for text in texts], dtype=np.int64)
