import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.models.load import load
from interp.modules.native.blocks import native_blocks
from interp.modules.native.experts import (
    all_expert_neurons,
    block_output,
    routed_expert_neurons,
    routing_of,
    shared_expert_neurons,
)
from interp.modules.native.partition import native_partition
from interp.modules.native.reading import BlockValues, recomputation_error
from interp.results.errors import Unsupported
from tests.models import tiny_model_directory

MIXTURES = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "switch")
TOP_K = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe")


def values_of(bridge: TransformerBridge, site: str, *, pos: int = 9) -> dict[str, torch.Tensor]:
    tokens = torch.randint(4, 64, (3, pos), generator=torch.Generator().manual_seed(1))
    _, cache = bridge.run_with_cache(tokens, names_filter=lambda name: name.startswith(site))
    return {name.removeprefix(f"{site}."): value.detach() for name, value in cache.items()}


@pytest.mark.parametrize("style", MIXTURES)
@torch.no_grad()
def test_the_weighted_sum_of_the_experts_is_the_blocks_output(model_directory, style: str):
    bridge = load(str(model_directory(style)), device="cpu")
    for block in native_blocks(bridge):
        values = values_of(bridge, block.site)
        again = block_output(block, values["hook_in"])
        torch.testing.assert_close(again, values["hook_out"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("style", MIXTURES)
@torch.no_grad()
def test_neurons_of_chosen_experts_add_up_to_the_routed_output(model_directory, style: str):
    """The same answer the long way: every neuron of every expert, then the weights."""
    bridge = load(str(model_directory(style)), device="cpu")
    block = native_blocks(bridge)[-1]
    values = values_of(bridge, block.site)
    x = values["hook_in"].flatten(0, 1)
    routing = routing_of(block, x)
    neurons = all_expert_neurons(block, x).unflatten(1, (block.n_experts, block.n_neurons))
    total = torch.zeros_like(x)
    for row in range(len(x)):
        for e, weight in zip(routing.chosen[row].tolist(), routing.weights[row], strict=True):
            total[row] += weight * (block.expert(e).W_out @ neurons[row, e])
    shared = shared_expert_neurons(block, x)
    if shared is not None and block.shared is not None and block.W_shared_gate is not None:
        total += torch.sigmoid(x @ block.W_shared_gate.T) * (shared @ block.shared.W_out.T)
    torch.testing.assert_close(total, values["hook_out"].flatten(0, 1), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_shared_experts_neurons_are_those_of_its_hook(model_directory):
    bridge = load(str(model_directory("qwen2_moe")), device="cpu")
    block = native_blocks(bridge)[0]
    values = values_of(bridge, block.site)
    own = shared_expert_neurons(block, values["hook_in"].flatten(0, 1))
    assert own is not None
    torch.testing.assert_close(own, values["shared_expert.hook_post"])


@pytest.mark.parametrize("style", MIXTURES)
@torch.no_grad()
def test_routed_neurons_are_the_counterfactual_ones_where_routed_and_zero_elsewhere(
    model_directory, style: str
):
    block = native_blocks(load(str(model_directory(style)), device="cpu"))[0]
    x = torch.randn(20, block.d_model, generator=torch.Generator().manual_seed(0))
    every = all_expert_neurons(block, x).unflatten(1, (block.n_experts, -1))
    routed = routed_expert_neurons(block, x).unflatten(1, (block.n_experts, -1))
    chosen = routing_of(block, x).chosen
    for row in range(20):
        for e in range(block.n_experts):
            expected = every[row, e] if e in chosen[row] else torch.zeros(block.n_neurons)
            assert torch.equal(routed[row, e], expected)


@pytest.mark.parametrize("style", MIXTURES)
def test_the_native_partition_has_every_experts_neurons_once(model_directory, style: str):
    block = native_blocks(load(str(model_directory(style)), device="cpu"))[0]
    found = native_partition(block, model_hash=None)
    assert (found.kind, found.n_experts, found.size) == ("native", 4, block.n_neurons)
    for e in range(4):
        first = e * block.n_neurons
        assert found.members(e).tolist() == list(range(first, first + block.n_neurons))


@torch.no_grad()
def test_both_stacks_of_a_switch_model_are_read_and_its_dense_layers_left(model_directory):
    blocks = native_blocks(load(str(model_directory("switch")), device="cpu"))
    assert [block.site for block in blocks] == ["encoder_blocks.1.mlp", "decoder_blocks.1.mlp"]
    assert {block.capacity for block in blocks} == {64}


@torch.no_grad()
def test_a_switch_block_that_drops_tokens_is_recomputed_with_the_same_drops(tmp_path):
    directory = tiny_model_directory("switch", tmp_path / "switch", expert_capacity=2)
    bridge = load(str(directory), device="cpu")
    for block in native_blocks(bridge):
        values = values_of(bridge, block.site)
        silent = values["hook_out"].abs().sum(-1) == 0
        assert 0 < silent.sum() < silent.numel()
        again = block_output(block, values["hook_in"])
        torch.testing.assert_close(again, values["hook_out"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("style", TOP_K)
@torch.no_grad()
def test_editing_the_hook_of_the_logits_changes_nothing_in_a_top_k_model(
    model_directory, style: str
):
    """Why a restriction replaces the block's output: the choice is made before that hook."""
    bridge = load(str(model_directory(style)), device="cpu")
    tokens = torch.arange(4, 12)[None]
    before = bridge(tokens, return_type="logits")
    edit = ("blocks.0.mlp.gate.hook_out", lambda value, hook: torch.zeros_like(value))
    after = bridge.run_with_hooks(tokens, return_type="logits", fwd_hooks=[edit])
    assert torch.equal(before, after)


def test_a_dense_model_is_refused_with_what_to_do(model_directory):
    with pytest.raises(Unsupported, match="GPT2LMHeadModel has no experts.*modules partition"):
        native_blocks(load(str(model_directory("gpt2")), device="cpu"))


def test_a_mixture_of_unknown_code_is_refused_by_name(model_directory):
    bridge = load(str(model_directory("mixtral")), device="cpu")

    class ForeignMoeBlock(type(bridge.blocks[0].mlp.original_component)):
        """Another mixture's code."""

    bridge.blocks[0].mlp.original_component.__class__ = ForeignMoeBlock
    with pytest.raises(Unsupported, match="ForeignMoeBlock.*we read mixtral"):
        native_blocks(bridge)


@torch.no_grad()
def test_an_output_that_is_not_the_experts_sum_is_refused(model_directory):
    bridge = load(str(model_directory("olmoe")), device="cpu")
    block = native_blocks(bridge)[0]
    values = values_of(bridge, block.site)
    good = BlockValues(values["hook_in"], values["hook_out"])
    assert recomputation_error(block, good) < 1e-5
    with pytest.raises(Unsupported, match="differs from its output"):
        recomputation_error(block, BlockValues(good.x, good.out * 1.01))
