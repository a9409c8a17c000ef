"""A tiny model, a store of its sites, and dictionaries whose weights are drawn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.transcoder import SkipTranscoder, SkipTranscoderConfig
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import record
from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus, SpecialTokens
from interp.dictionaries.card import DictionaryCard
from interp.models.load import load
from tests.models import BOS, D_VOCAB, PAD

SITE, SITE_OUT = "blocks.1.hook_resid_post", "blocks.1.hook_mlp_out"
SITE_IN = "blocks.1.mlp.hook_in"
LENGTH = 12
D_IN, D_SAE = 32, 80


@pytest.fixture(scope="session")
def bridge(model_directory: Callable[[str], Path]) -> TransformerBridge:
    return load(model_directory("gpt2"), device="cpu")


def corpus_of(n_sequences: int, *, bos: bool = False, padded: bool = False) -> Corpus:
    rng = np.random.default_rng(0)
    tokens = rng.integers(PAD + 4, D_VOCAB, (n_sequences, LENGTH))
    mask = np.ones(tokens.shape, bool)
    if bos:
        tokens[:, 0] = BOS
    if padded:
        mask[::3, 8:] = False
    special = SpecialTokens(bos_id=BOS, pad_id=PAD, special_ids=(BOS, PAD))
    return Corpus.from_tokens(
        tokens, attention_mask=mask, special_tokens=special, d_vocab=D_VOCAB, name="drawn"
    )


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return corpus_of(60)


@pytest.fixture(scope="session")
def store(bridge, corpus, tmp_path_factory) -> ActivationStore:
    path = tmp_path_factory.mktemp("evaluated") / "store"
    return record(bridge, corpus, [SITE, SITE_OUT, SITE_IN], path, max_tokens=10_000)


def with_weights(sae: Any, seed: int, rows: torch.Tensor) -> Any:
    """Weights drawn so that a fair share of features is on and the reconstruction is not mad."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(sae.named_parameters()):
            fresh = torch.randn(parameter.shape, generator=generator)
            scale = {"W_enc": 0.3, "W_dec": 0.1, "b_enc": 0.1, "b_dec": 0.1, "W_skip": 0.05}[name]
            parameter.copy_(fresh * scale)
        sae.b_enc -= 0.5
        if sae.b_dec.shape == rows.shape[1:]:
            sae.b_dec.copy_(rows.mean(0))
    return sae


def carded(sae: Any, store: ActivationStore, site: str, site_out: str | None = None) -> Any:
    card = DictionaryCard.of(sae)
    replace(
        card, site=site, site_out=site_out, model="tiny", model_hash=store.provenance.model_hash
    ).write_to(sae)
    return sae


@pytest.fixture(scope="session")
def make_sae(store) -> Callable[..., Any]:
    def make(seed: int = 0, d_sae: int = D_SAE) -> Any:
        sae = StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=d_sae))
        rows = torch.from_numpy(store.rows(SITE, 0, store.n_rows))
        return carded(with_weights(sae, seed, rows), store, SITE)

    return make


@pytest.fixture(scope="session")
def sae(make_sae) -> Any:
    return make_sae()


@pytest.fixture(scope="session")
def transcoder(store) -> Any:
    config = SkipTranscoderConfig(d_in=D_IN, d_out=D_IN, d_sae=40, apply_b_dec_to_input=False)
    rows = torch.from_numpy(store.rows(SITE_OUT, 0, store.n_rows))
    return carded(with_weights(SkipTranscoder(config), 1, rows), store, SITE_IN, SITE_OUT)
