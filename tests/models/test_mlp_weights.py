import pytest
import torch

from interp.models.load import load
from interp.models.mlp_weights import mlp_weights
from interp.models.sites import UnknownSite
from interp.results.errors import Unsupported

DENSE = ("gpt2", "llama", "neox", "qwen2", "olmo", "mistral", "qwen3", "olmo2", "bert")
SITES = {
    **{style: "blocks.1.mlp.hook_post" for style in DENSE},
    "t5": "decoder_blocks.1.mlp.hook_post",
    "switch": "encoder_blocks.0.mlp.hook_post",
}


@pytest.mark.parametrize("style", SITES)
def test_files_and_bridge_give_the_same_rows(style, model_directory):
    directory = model_directory(style)
    site = SITES[style]
    of_files, of_bridge = mlp_weights(directory, site), mlp_weights(load(directory), site)
    for ours, theirs in zip(of_files, of_bridge, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
            assert ours.shape == (48, 32)


@pytest.mark.parametrize("style", ["gpt2", "llama", "t5"])
def test_what_neurons_write_is_the_mlps_output(style, model_directory):
    bridge = load(model_directory(style))
    site = SITES[style]
    out = site.replace("mlp.hook_post", "mlp.hook_out")
    tokens = torch.arange(4, 12)[None]
    _, cache = bridge.run_with_cache(tokens, names_filter=[site, out])
    written = cache[site] @ mlp_weights(bridge, site).W_out
    bias = bridge.blocks[1].mlp.b_out if style != "t5" else None
    expected = cache[out] if bias is None else cache[out] - bias
    torch.testing.assert_close(written, expected, rtol=1e-5, atol=1e-6)


def test_gated_t5_reads_its_gate_from_wi_0(tmp_path):
    from tests.models import tiny_model_directory

    directory = tiny_model_directory("t5", tmp_path / "t5", feed_forward_proj="gated-gelu")
    weights = mlp_weights(directory, "encoder_blocks.0.mlp.hook_post")
    assert weights.W_gate is not None
    assert weights.W_gate.shape == weights.W_in.shape == (48, 32)


@pytest.mark.parametrize("style", ["mixtral", "olmoe"])
def test_a_mixture_of_experts_is_refused_in_words(style, model_directory):
    directory = model_directory(style)
    with pytest.raises(Unsupported, match="mixture of experts"):
        mlp_weights(directory, "blocks.1.mlp.hook_post")
    with pytest.raises(Unsupported, match="mixture of experts"):
        mlp_weights(load(directory), "blocks.1.mlp.hook_post")


def test_a_site_without_neurons_is_refused(model_directory):
    directory = model_directory("llama")
    with pytest.raises(Unsupported, match="does not hold the neurons"):
        mlp_weights(directory, "blocks.1.hook_resid_post")
    with pytest.raises(UnknownSite):
        mlp_weights(load(directory), "blocks.9.mlp.hook_post")
    with pytest.raises(Unsupported, match="not there"):
        mlp_weights(directory, "blocks.9.mlp.hook_post")
