"""Tiny bridges, a corpus with padding and specials, and a way to compare stores byte by byte."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.corpus import Corpus, SpecialTokens
from interp.models.load import load
from tests.models import BOS, D_VOCAB, EOS, PAD

LENGTH = 16


@pytest.fixture(scope="session")
def bridge(model_directory: Callable[[str], Path]) -> Callable[[str], TransformerBridge]:
    """`bridge(style)`: one loaded model a style; leave it as it was."""
    return cache(lambda style: load(model_directory(style), device="cpu"))


@pytest.fixture
def corpus() -> Corpus:
    """40 sequences of 16 ids, every fourth padded, with specials and two labels."""
    return make_corpus()


def make_corpus(n_sequences: int = 40, *, seed: int = 0) -> Corpus:
    """Random ids of which the first three are special; documents of two sequences."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(PAD + 1, D_VOCAB, (n_sequences, LENGTH))
    mask = np.ones(tokens.shape, bool)
    mask[3::4, 10:] = False
    document = np.broadcast_to(np.arange(n_sequences)[:, None] // 2, tokens.shape)
    return Corpus.from_tokens(
        tokens,
        attention_mask=mask,
        document=document,
        labels={"language": tokens % 3, "weight": tokens / 7},
        special_tokens=SpecialTokens(
            bos_id=BOS, eos_id=EOS, pad_id=PAD, special_ids=(PAD, BOS, EOS)
        ),
        token_strings=[f"t{i}" for i in range(D_VOCAB)],
        tokenizer_digest="digest of a tokenizer",
        d_vocab=D_VOCAB,
    )


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file of a store by name."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}
