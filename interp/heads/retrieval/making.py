"""Haystacks for a model: needles in its user's text, or key-value lines of random tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.sources import open_corpus
from interp.evaluation.generation import end_tokens
from interp.heads.retrieval.haystack import (
    Needle,
    key_value_haystacks,
    needle_haystacks,
)
from interp.heads.retrieval.run import Haystacks, Settings
from interp.heads.tokens import RegularTokens
from interp.models.context import context_of
from interp.models.load import reference_of
from interp.results.errors import BadInput

_LINES = 16
_LONGEST = 4096
"""Tokens of the longest haystack where neither the context nor the user says one."""


def lines_for(
    bridge: TransformerBridge,
    regular: RegularTokens,
    settings: Settings,
    rng: np.random.Generator,
) -> Haystacks:
    """Key-value lines, as many as fit the context and the vocabulary where none are asked for."""
    width = settings.n_value + 2
    room = (context_of(bridge) or _LONGEST) - 2 - settings.n_value
    n_lines = settings.n_lines
    if n_lines is None:
        n_lines = min(_LINES, room // width, (len(regular.ids) - 1) // (settings.n_value + 1))
    if n_lines < 2 or n_lines * width > room:
        raise BadInput(
            f"{n_lines} key-value lines of {width} tokens: {max(room, 0)} tokens of context are "
            "free and at least 2 lines are needed; ask for fewer lines or shorter values"
        )
    rows = key_value_haystacks(
        regular.ids,
        bos_id=regular.bos_id,
        n=settings.n_haystacks,
        n_lines=n_lines,
        n_value=settings.n_value,
        rng=rng,
    )
    return Haystacks(
        rows=tuple(rows),
        max_new_tokens=settings.n_value,
        ends=frozenset(),
        kind="key-value lines",
    )


def needles_for(
    bridge: TransformerBridge,
    text: Any,
    needles: Sequence[Needle],
    *,
    bos_id: int | None,
    settings: Settings,
) -> Haystacks:
    """Every needle at every depth and length of the user's text."""
    tokenizer = bridge.tokenizer
    if tokenizer is None:
        raise BadInput("the model has no tokenizer: needles are text and need one")
    context = context_of(bridge) or _LONGEST
    longest = min(context, _LONGEST) - settings.max_new_tokens
    lengths = settings.lengths or tuple(longest // part for part in (4, 2, 1))
    if max(lengths) + settings.max_new_tokens > context:
        raise BadInput(
            f"a haystack of {max(lengths)} tokens and {settings.max_new_tokens} written do not fit "
            f"the context of {context}: choose shorter lengths or fewer new tokens"
        )
    rows = needle_haystacks(
        _filler(bridge, text, max(lengths)),
        needles,
        tokenizer,
        lengths=lengths,
        depths=settings.depths,
        bos_id=bos_id,
    )
    return Haystacks(
        rows=tuple(rows),
        max_new_tokens=settings.max_new_tokens,
        ends=end_tokens(bridge.original_model, tokenizer),
        kind="needles in text",
    )


def _filler(bridge: TransformerBridge, text: Any, length: int) -> Int[np.ndarray, " pos"]:
    """The text's first tokens, documents end to end."""
    corpus = open_corpus(
        text, reference_of(bridge) or bridge.tokenizer, length=length, add_bos=False
    )
    parts: list[np.ndarray] = []
    for batch in corpus.batches(1):
        parts.append(batch.tokens[batch.attention_mask])
        if sum(map(len, parts)) >= length:
            break
    return np.concatenate(parts)[:length].astype(np.int64)
