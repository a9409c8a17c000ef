import pytest
import torch

from interp.models.load import load
from interp.models.mlp_weights import mlp_weights
from interp.modules.partitioning.random import random_partition
from interp.modules.regroup import regroup, ungroup
from interp.results.errors import BadInput, Mismatch
from tests.models import tiny_model_directory

TOKENS = torch.arange(4, 14)[None]


def partitions(*sites):
    return [random_partition(48, 6, seed=i, site=site) for i, site in enumerate(sites)]


def files(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "qwen2", "bert"])
def test_regrouped_and_ungrouped_is_the_same_to_the_byte(style, model_directory, tmp_path):
    directory = model_directory(style)
    some = partitions("blocks.0.mlp.hook_post", "blocks.2.mlp.hook_post")
    grouped = regroup(directory, some, tmp_path / "grouped")
    back = ungroup(grouped, some, tmp_path / "back")
    assert files(back) == files(directory)
    assert files(grouped) != files(directory)


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox"])
def test_a_regrouped_model_computes_the_same_with_its_neurons_in_order(
    style, model_directory, tmp_path
):
    directory = model_directory(style)
    (found,) = partitions("blocks.1.mlp.hook_post")
    grouped = regroup(directory, [found], tmp_path / "grouped")
    old, new = load(directory), load(grouped)
    torch.testing.assert_close(new(TOKENS), old(TOKENS), rtol=1e-5, atol=1e-5)
    _, of_old = old.run_with_cache(TOKENS, names_filter=[found.site])
    _, of_new = new.run_with_cache(TOKENS, names_filter=[found.site])
    order = torch.from_numpy(found.permutation())
    torch.testing.assert_close(of_new[found.site], of_old[found.site][..., order])
    expected = mlp_weights(directory, found.site).W_in[order]
    assert torch.equal(mlp_weights(grouped, found.site).W_in, expected)


def test_half_precision_and_shards_keep_their_bytes_too(tmp_path):
    directory = tiny_model_directory(
        "llama", tmp_path / "half", dtype=torch.bfloat16, max_shard_size="20KB"
    )
    some = partitions("blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post")
    grouped = regroup(directory, some, tmp_path / "grouped")
    assert files(ungroup(grouped, some, tmp_path / "back")) == files(directory)


def test_t5_decoders_and_encoders_regroup(model_directory, tmp_path):
    some = partitions("encoder_blocks.0.mlp.hook_post", "decoder_blocks.1.mlp.hook_post")
    directory = model_directory("t5")
    grouped = regroup(directory, some, tmp_path / "grouped")
    assert files(ungroup(grouped, some, tmp_path / "back")) == files(directory)


def test_two_partitions_of_a_layer_or_of_another_width_are_refused(model_directory, tmp_path):
    site = "blocks.0.mlp.hook_post"
    with pytest.raises(BadInput, match="two partitions"):
        regroup(model_directory("llama"), partitions(site, site), tmp_path / "a")
    with pytest.raises(Mismatch, match="48 neurons and the partition 24"):
        regroup(model_directory("llama"), [random_partition(24, 6, seed=0, site=site)],
                tmp_path / "b")  # fmt: skip
    assert not (tmp_path / "b").exists()
