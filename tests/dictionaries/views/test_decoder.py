"""What the weights say: logits are the model's own direct path, neighbours those of a full sort."""

import numpy as np
import pytest
import torch

from interp.capture.weights import in_memory_hash
from interp.dictionaries.views.decoder import Readout, logits, neighbours
from interp.dictionaries.views.model_readout import readout_of
from interp.dictionaries.views.run import view_features
from interp.models.load import load
from interp.results.errors import Mismatch, Unsupported
from tests.dictionaries.views.planted import planted_dictionary

SITE = "blocks.2.hook_resid_post"


@pytest.fixture(scope="module", params=["gpt2", "llama", "neox"])
def bridge(request, model_directory):
    return load(model_directory(request.param), device="cpu")


@torch.no_grad()
def test_the_whole_residual_read_out_over_the_norms_scale_is_the_models_logits(bridge):
    tokens = torch.arange(4, 12)[None]
    output, cache = bridge.run_with_cache(tokens)
    resid = cache[SITE]
    readout = readout_of(bridge, SITE)
    is_layer_norm = bridge.cfg.normalization_type == "LN"
    centred = resid - resid.mean(-1, keepdim=True) if is_layer_norm else resid
    scale = (centred.square().mean(-1, keepdim=True) + bridge.cfg.eps).sqrt()
    bias = getattr(bridge.ln_final, "bias", None)
    rest = 0 if bias is None else bias @ bridge.W_U
    found = readout.logits(resid[0]) / scale[0] + rest
    torch.testing.assert_close(found, output[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_neurons_are_read_out_through_their_output_weights(bridge):
    _, cache = bridge.run_with_cache(torch.arange(4, 9)[None])
    site = "blocks.1.mlp.hook_post"
    post = cache[site].reshape(-1, cache[site].shape[-1])
    change = post[1:] - post[:-1]
    written = cache["blocks.1.hook_mlp_out"].reshape(len(post), -1)
    through = readout_of(bridge, SITE).logits(written[1:] - written[:-1])
    found = readout_of(bridge, site).logits(change)
    torch.testing.assert_close(found, through, rtol=1e-4, atol=1e-5)


def test_a_site_off_the_direct_path_is_refused(bridge):
    with pytest.raises(Unsupported, match="hook_q"):
        readout_of(bridge, "blocks.0.attn.hook_q")


def test_promoted_and_suppressed_tokens_are_the_ends_of_a_full_sort():
    generator = torch.Generator().manual_seed(0)
    W_dec, W_U = (torch.randn(*s, generator=generator) for s in ((9, 6), (6, 40)))
    found = logits(W_dec, Readout(None, W_U), keep=4, generator=generator)
    order = (W_dec @ W_U).argsort(dim=1, descending=True).numpy()
    np.testing.assert_array_equal(found.promoted, order[:, :4])
    np.testing.assert_array_equal(found.suppressed, order[:, ::-1][:, :4])
    per_length = found.null / W_dec.norm(dim=1).numpy()
    np.testing.assert_allclose(per_length, per_length[0], rtol=1e-5)


def test_random_decoders_pass_the_logit_null_as_often_as_it_says():
    generator = torch.Generator().manual_seed(1)
    W_dec, W_U = (torch.randn(*s, generator=generator) for s in ((2000, 16), (16, 50)))
    found = logits(W_dec, Readout(None, W_U), keep=1, generator=generator)
    largest = np.maximum(found.promoted_by[:, 0], -found.suppressed_by[:, 0])
    assert 0.02 < (largest > found.null).mean() < 0.1


def test_neighbours_are_those_of_the_full_cosine_matrix():
    generator = torch.Generator().manual_seed(2)
    W_dec = torch.randn(30, 8, generator=generator)
    found = neighbours(W_dec, keep=3, generator=generator)
    unit = W_dec / W_dec.norm(dim=1, keepdim=True)
    cosine = unit @ unit.T - 3 * torch.eye(30)
    expected = cosine.sort(dim=1, descending=True)
    np.testing.assert_array_equal(found.feature, expected.indices[:, :3])
    np.testing.assert_allclose(found.cosine, expected.values[:, :3], atol=1e-6)


def test_another_model_than_the_stores_is_refused_for_logits(store, model_directory):
    other = load(model_directory("llama"), device="cpu")
    with pytest.raises(Mismatch, match="--force"):
        view_features(planted_dictionary(), store, model=other)
    found = view_features(planted_dictionary(), store, model=other, force=True)
    assert found.logits is not None and found.logits.promoted.shape == (24, 8)
    view = found.feature(3)
    assert view.promoted[0].strength >= view.promoted[-1].strength > view.suppressed[0].strength


def test_the_hash_in_memory_sees_an_edit(model_directory):
    model = load(model_directory("llama"), device="cpu")
    before = in_memory_hash(model)
    with torch.no_grad():
        next(model.original_model.parameters()).add_(1.0)
    assert in_memory_hash(model) != before
