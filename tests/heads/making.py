"""Batches of random tokens, and tiny models of every style, for the tests of heads."""

from pathlib import Path
from typing import Any

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.models.load import load
from tests.models import D_VOCAB, tiny_model_directory


def tiny_bridge(style: str, directory: Path, **config: Any) -> TransformerBridge:
    return load(tiny_model_directory(style, directory / style, **config))


def random_batch(
    *, batch: int = 3, pos: int = 12, padded: bool = False, seed: int = 0, first: int = 0
) -> HeadBatch:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(4, D_VOCAB, (batch, pos))
    mask = np.ones((batch, pos), bool)
    if padded:
        for i in range(1, batch):
            mask[i, pos - 2 * i :] = False
        tokens[~mask] = 0
    return HeadBatch(
        tokens=tokens,
        attention_mask=mask,
        is_query=mask.copy(),
        sequence=np.arange(first, first + batch),
    )
