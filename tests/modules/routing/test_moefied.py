import pytest
import torch

from interp.interventions import intervened
from interp.models.load import load
from interp.models.mlp_weights import mlp_weights
from interp.modules.partitioning.random import random_partition
from interp.modules.routing.grouped import GroupedMlp
from interp.modules.routing.moefied import mlp_input, moefied
from interp.modules.routing.router import chosen
from interp.results.errors import BadInput, Mismatch

SITE = "blocks.1.mlp.hook_post"
TOKENS = torch.arange(4, 24).reshape(2, 10)
STYLES = ("gpt2", "llama", "neox", "olmo2")


def anything(value):
    """A scorer that has nothing to do with the experts."""
    return torch.sin(torch.arange(len(value) * 6.0)).view(-1, 6)


@pytest.fixture(scope="module")
def bridge(model_directory):
    loaded = {}
    return lambda style: loaded.setdefault(style, load(model_directory(style)))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("reads", ["input", "neurons"])
def test_all_experts_are_the_dense_layer_to_the_bit(style, reads, bridge):
    model, partition = bridge(style), random_partition(48, 6, seed=0, site=SITE)
    dense = model(TOKENS)
    with intervened(model, moefied(model, partition, anything, reads=reads, k=6)):
        assert torch.equal(model(TOKENS), dense)
    with intervened(model, moefied(model, partition, anything, reads=reads, k=5)):
        assert not torch.equal(model(TOKENS), dense)
    assert torch.equal(model(TOKENS), dense)


@pytest.mark.parametrize("style", ["gpt2", "llama"])
def test_leaving_experts_out_subtracts_what_their_neurons_write(style, bridge):
    model, partition = bridge(style), random_partition(48, 6, seed=0, site=SITE)
    out = "blocks.1.mlp.out.hook_out"
    _, cache = model.run_with_cache(TOKENS, names_filter=[SITE, out])
    h, dense = cache[SITE].flatten(0, 1), cache[out].flatten(0, 1)
    left_out = ~chosen(anything(h), 2)[:, torch.from_numpy(partition.labels.astype("int64"))]
    expected = dense - (h * left_out) @ mlp_weights(model, SITE).W_out
    seen = []
    model.hook_dict[out].add_hook(lambda value, hook: seen.append(value))
    with intervened(model, moefied(model, partition, anything, reads="input", k=2)):
        model(TOKENS)
    model.reset_hooks()
    torch.testing.assert_close(seen[-1].flatten(0, 1), expected, rtol=1e-5, atol=1e-5)


def test_a_fill_stands_where_experts_were_left_out(bridge):
    model, partition = bridge("gpt2"), random_partition(48, 6, seed=0, site=SITE)
    fill = torch.linspace(-1, 1, 48)
    (edit,) = moefied(model, partition, anything, reads="neurons", k=1, fill=fill)
    h = torch.full((1, 3, 48), 5.0)
    new = edit.replace(h)
    assert ((new == 5).sum(dim=-1) == 8).all()
    assert torch.equal(new[new != 5], fill.expand_as(new)[new != 5])


@pytest.mark.parametrize("style", [*STYLES, "qwen2", "bert"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_grouped_experts_are_the_dense_layer_up_to_rounding(style, dtype, bridge):
    model = bridge(style)
    site_in, site_out = mlp_input(model, SITE), "blocks.1.mlp.out.hook_out"
    _, cache = model.run_with_cache(TOKENS, names_filter=[site_in, site_out])
    grouped = GroupedMlp(model, random_partition(48, 6, seed=1, site=SITE)).to(dtype)
    x, dense = cache[site_in].flatten(0, 1), cache[site_out].flatten(0, 1)
    found = grouped(x.to(dtype))
    everything = torch.ones(len(x), 6, dtype=torch.bool)
    torch.testing.assert_close(grouped(x.to(dtype), everything), found)
    error = (found - dense).norm() / dense.norm()
    assert error < 1e-6


@pytest.mark.parametrize("style", ["gpt2", "llama"])
def test_grouped_and_masked_choose_alike(style, bridge):
    model, partition = bridge(style), random_partition(48, 6, seed=2, site=SITE)
    site_in, site_out = mlp_input(model, SITE), "blocks.1.mlp.out.hook_out"
    seen = {}
    for name in (site_in, site_out):
        model.hook_dict[name].add_hook(lambda v, hook, name=name: seen.update({name: v}))
    with intervened(model, moefied(model, partition, anything, reads="input", k=2)):
        model(TOKENS)
    model.reset_hooks()
    x = seen[site_in].flatten(0, 1)
    found = GroupedMlp(model, partition)(x, chosen(anything(x), 2))
    torch.testing.assert_close(found, seen[site_out].flatten(0, 1), rtol=1e-5, atol=1e-6)


def test_double_precision_grouping_is_exact_to_fourteen_digits(model_directory):
    model = load(model_directory("gpt2"))
    partition = random_partition(48, 6, seed=1, site=SITE)
    one = GroupedMlp(model, random_partition(48, 1, seed=0, site=SITE)).double()
    six = GroupedMlp(model, partition).double()
    x = torch.randn(50, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (six(x) - one(x)).norm() / one(x).norm() < 1e-14


def test_wrong_widths_and_counts_are_refused(bridge):
    model = bridge("gpt2")
    partition = random_partition(48, 6, seed=0, site=SITE)
    with pytest.raises(BadInput, match="k = 7: choose 1 to 6"):
        moefied(model, partition, anything, reads="input", k=7)
    with pytest.raises(Mismatch, match="3 entries for 48 neurons"):
        moefied(model, partition, anything, reads="input", k=2, fill=torch.zeros(3))
    foreign = random_partition(24, 6, seed=0, site=SITE)
    with pytest.raises(Mismatch, match="48 neurons and the partition 24"):
        GroupedMlp(model, foreign)
    with (
        pytest.raises(Mismatch, match="another model"),
        intervened(model, moefied(model, foreign, anything, reads="neurons", k=2)),
    ):
        model(TOKENS)
    with pytest.raises(BadInput, match="choice of shape"):
        GroupedMlp(model, partition)(torch.zeros(2, 32), torch.ones(2, 5, dtype=torch.bool))
