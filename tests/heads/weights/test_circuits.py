"""Factored circuits against the full products, and against the model's own forward pass."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.weights.circuits import (
    VocabularyCircuits,
    attended_tokens,
    vocabulary_circuits,
    written_tokens,
)
from interp.heads.weights.effective import effective_embedding
from interp.heads.weights.eigenvalues import eigenvalue_ratio, ov_eigenvalues, random_ratios
from interp.models.load import load
from interp.results.errors import BadInput

STYLES = ("gpt2", "llama", "neox", "olmo2", "qwen3")
EVERY = torch.arange(64)


@pytest.fixture(scope="module")
def bridge(model_directory: Callable[[str], Path]) -> Callable[[str], TransformerBridge]:
    return cache(lambda style: load(model_directory(style), device="cpu"))


@pytest.fixture(scope="module")
def circuits(
    bridge: Callable[[str], TransformerBridge],
) -> Callable[[str], VocabularyCircuits]:
    return cache(lambda style: vocabulary_circuits(bridge(style)))


def _run(bridge: TransformerBridge, tokens: torch.Tensor, *sites: str) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}

    def keeper(site: str):
        def keep(value: torch.Tensor, *, hook: object) -> None:
            seen[site] = value.detach()

        return keep

    with bridge.hooks(fwd_hooks=[(site, keeper(site)) for site in sites]), torch.no_grad():
        bridge(tokens, return_type=None)
    return seen


def test_the_effective_embedding_is_the_first_mlp_of_the_token_alone(
    bridge: Callable[[str], TransformerBridge],
) -> None:
    model = bridge("gpt2")
    original: Any = model.original_model
    block, embedded = original.transformer.h[0], original.transformer.wte.weight
    with torch.no_grad():
        expected = embedded + block.mlp(block.ln_2(embedded))
    torch.testing.assert_close(effective_embedding(model), expected, atol=1e-5, rtol=1e-5)


def test_the_effective_embedding_of_some_tokens_is_their_rows_and_no_hook_stays(
    bridge: Callable[[str], TransformerBridge],
) -> None:
    model = bridge("llama")
    some = torch.tensor([5, 2, 40])
    torch.testing.assert_close(effective_embedding(model, some), effective_embedding(model)[some])
    assert not any(point.has_hooks() for point in model.hook_dict.values())


@pytest.mark.parametrize("style", STYLES)
def test_values_and_attention_are_those_of_the_model_on_the_embedding(
    style: str,
    bridge: Callable[[str], TransformerBridge],
    circuits: Callable[[str], VocabularyCircuits],
) -> None:
    """One token alone in layer 0: without positions, attention reads the embedding."""
    model, ours = bridge(style), circuits(style)
    if style == "gpt2":  # learned positions are added to what attention reads
        model = load(ours.geometry.name, device="cpu")
        original: Any = model.original_model
        original.transformer.wpe.weight.data.zero_()
    tokens = EVERY[:9]
    normed = "blocks.0.attn.hook_k_normed"
    keys = normed if normed in model.hook_dict else "blocks.0.attn.hook_k"
    seen = _run(model, tokens[:, None], "blocks.0.attn.hook_v", keys)
    x = ours.embedding(0)[tokens] * ours.norms.gain(0)
    mine = {
        "blocks.0.attn.hook_v": x @ ours.geometry.W_V(0),
        keys: ours.norms.of_keys(0, x @ ours.geometry.W_K(0)),
    }
    for site, read in mine.items():
        theirs = seen[site]
        theirs = theirs.reshape(len(tokens), ours.geometry.n_kv_heads, -1).transpose(0, 1)
        gap = theirs - read
        # What is left is the bias alone, the same for every token.
        torch.testing.assert_close(gap, gap[:, :1].expand_as(gap), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("style", STYLES)
def test_factors_give_the_full_products(
    style: str, circuits: Callable[[str], VocabularyCircuits]
) -> None:
    ours, g = circuits(style), circuits(style).geometry
    for layer in (0, 2):
        left, right = ours.ov_factors(layer, EVERY)
        for head in range(g.n_heads):
            W_OV = g.W_V(layer)[g.kv_head(head)] @ (g.W_O(layer)[head] * g.output_gain(layer))
            x = ours.embedding(layer) * ours.norms.gain(layer)
            unembed = g.gamma[:, None] * g.W_U
            unembed = unembed - unembed.mean(0) if g.centred else unembed
            full = x @ W_OV @ unembed
            full = full - full.mean(1, keepdim=True)
            torch.testing.assert_close(left[head] @ right[head], full, atol=1e-4, rtol=1e-4)
            entries = ours.ov_entries(layer, EVERY[4:7], EVERY[:3])[head]
            torch.testing.assert_close(entries, full[4:7, :3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("style", ("gpt2", "llama"))
def test_small_eigenvalues_are_those_of_the_full_circuit(
    style: str, circuits: Callable[[str], VocabularyCircuits]
) -> None:
    ours, layer = circuits(style), 1
    small = ov_eigenvalues(ours.W_V(layer), ours.W_O(layer), ours.round_trip(layer))
    left, right = ours.ov_factors(layer, EVERY)
    for head in range(ours.geometry.n_heads):
        full = torch.linalg.eigvals(left[head].double() @ right[head].double())
        d_head = ours.geometry.d_head
        theirs = full[full.abs().argsort(descending=True)][:d_head]
        assert full.abs().sort(descending=True).values[d_head:].max() < 1e-4
        assert torch.allclose(theirs.sum().real, small[head].sum().real, atol=1e-4)
        assert torch.allclose(theirs.abs().sum(), small[head].abs().sum(), atol=1e-4)


@pytest.mark.parametrize("style", ("gpt2", "llama"))
def test_folding_norms_and_centring_changes_no_circuit(
    style: str,
    model_directory: Callable[[str], Path],
    circuits: Callable[[str], VocabularyCircuits],
) -> None:
    folded = load(model_directory(style), device="cpu")
    folded.enable_compatibility_mode()
    theirs, ours = vocabulary_circuits(folded), circuits(style)
    for layer in (0, 2):
        torch.testing.assert_close(
            theirs.ov_entries(layer, EVERY, EVERY),
            ours.ov_entries(layer, EVERY, EVERY),
            atol=1e-4,
            rtol=1e-4,
        )


def test_written_and_attended_tokens_are_the_best_of_the_full_rows(
    circuits: Callable[[str], VocabularyCircuits],
) -> None:
    ours, tokens = circuits("llama"), [7, 33]
    full = ours.ov_entries(1, torch.tensor(tokens), EVERY)[3]
    assert torch.equal(written_tokens(ours, 1, 3, tokens, 5).columns, full.topk(5).indices)
    left, right = ours.qk_factors(1, torch.tensor(tokens))
    scores = left[2] @ right[2]
    assert torch.equal(attended_tokens(ours, 1, 2, tokens, 5).columns, scores.topk(5).indices)


def test_a_token_that_is_not_there_is_refused(
    circuits: Callable[[str], VocabularyCircuits],
) -> None:
    with pytest.raises(BadInput, match="no token 64"):
        written_tokens(circuits("gpt2"), 0, 0, [64])


def test_a_copying_head_has_ratio_one_a_negating_one_minus_one_an_idle_one_none() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    W_V = torch.stack([basis, basis, basis])
    W_O = torch.stack([basis.T, -basis.T, torch.zeros(6, 6)])
    ratio = eigenvalue_ratio(ov_eigenvalues(W_V, W_O, torch.eye(6)))
    torch.testing.assert_close(ratio[:2], torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert ratio[2].isnan()


def test_random_ratios_are_those_of_random_weights_drawn_whole() -> None:
    """The short way through singular values has the distribution of the long way."""
    generator = torch.Generator().manual_seed(1)
    trip = torch.randn(24, 24, generator=generator)
    short = random_ratios(trip, 4, draws=600, generator=generator)
    W_V = torch.randn(600, 24, 4, generator=generator)
    W_O = torch.randn(600, 4, 24, generator=generator)
    long = eigenvalue_ratio(ov_eigenvalues(W_V, W_O, trip))
    assert abs(float(short.mean())) < 0.05 and abs(float(long.mean())) < 0.05
    assert abs(float(short.std() / long.std()) - 1) < 0.1
