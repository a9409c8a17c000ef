"""Sites: each tensor once under its own name, and names that do not keep their word refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.models.load import load
from interp.models.sites import (
    Site,
    UnknownSite,
    available_sites,
    last_layer,
    resolve_sites,
)
from interp.results.errors import Unsupported
from tests.models import DECODERS, STYLES, tiny_model_directory

Directory = Callable[[str], Path]


def tokens() -> torch.Tensor:
    return torch.randint(4, 64, (2, 9), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def cached(bridge: TransformerBridge) -> dict[str, torch.Tensor]:
    """Every hook's tensor under every name, by the bridge's own cache."""
    _, cache = bridge.run_with_cache(tokens())
    return {name: value for name, value in cache.items() if isinstance(value, torch.Tensor)}


@pytest.mark.parametrize("style", STYLES)
def test_every_site_has_one_entry_a_token_of_the_shape_it_says(
    model_directory: Directory, style: str
):
    bridge = load(str(model_directory(style)))
    values = cached(bridge)
    found = available_sites(bridge)
    assert len(found) > 20
    for site in found:
        leading = (18,) if site.flattened else (2, 9)
        assert values[site.name].shape == leading + site.shape, site.name


@pytest.mark.parametrize("style", STYLES)
def test_aliases_hold_the_same_numbers_and_no_two_sites_share_a_name(
    model_directory: Directory, style: str
):
    bridge = load(str(model_directory(style)))
    values = cached(bridge)
    names: list[str] = []
    for site in available_sites(bridge):
        names += [site.name, *site.aliases]
        for alias in site.aliases:
            assert torch.equal(values[alias].flatten(), values[site.name].flatten()), alias
    assert len(names) == len(set(names))


@pytest.mark.parametrize("style", DECODERS)
def test_the_names_that_are_listed_are_those_of_the_classic_library(
    model_directory: Directory, style: str
):
    names = {site.name for site in available_sites(load(str(model_directory(style))))}
    classic = {
        "hook_embed",
        "blocks.1.hook_resid_post",
        "blocks.1.hook_attn_out",
        "blocks.1.hook_mlp_out",
        "blocks.1.attn.hook_q",
        "blocks.1.attn.hook_k",
        "blocks.1.attn.hook_v",
        "blocks.1.attn.hook_z",
        "blocks.1.mlp.hook_pre",
        "blocks.1.mlp.hook_post",
        "ln_final.hook_scale",
    }
    assert classic <= names


@pytest.mark.parametrize("style", [style for style in STYLES if style not in ("t5", "switch")])
def test_the_stream_is_what_it_was_plus_what_attention_and_mlp_write(
    model_directory: Directory, style: str
):
    """The identity that the names promise; BERT's norms come after each sum."""
    bridge = load(str(model_directory(style)))
    values = cached(bridge)
    for layer in range(3):
        at = f"blocks.{layer}."
        if style == "bert":
            torch.testing.assert_close(
                values[at + "ln1.hook_in"],
                values[at + "hook_resid_pre"] + values[at + "attn.o.hook_out"],
            )
            torch.testing.assert_close(
                values[at + "ln2.hook_in"],
                values[at + "ln1.hook_out"] + values[at + "hook_mlp_out"],
            )
            continue
        written = values[at + "hook_attn_out"] + values[at + "hook_mlp_out"]
        torch.testing.assert_close(
            values[at + "hook_resid_post"], values[at + "hook_resid_pre"] + written
        )


def test_a_wildcard_over_layers_gives_one_site_a_layer(model_directory: Directory):
    found = resolve_sites(load(str(model_directory("gpt2"))), ["blocks.*.mlp.hook_post"])
    assert found.names == tuple(f"blocks.{layer}.mlp.hook_post" for layer in range(3))
    assert [site.layer for site in found.sites] == [0, 1, 2]
    assert {site.width for site in found.sites} == {48}
    assert found.absent_layers == {}


def test_native_names_and_classic_names_are_the_same_site(model_directory: Directory):
    bridge = load(str(model_directory("llama")))
    for native, classic in [
        ("blocks.2.hook_out", "blocks.2.hook_resid_post"),
        ("blocks.*.attn.o.hook_in", "blocks.*.attn.hook_z"),
        ("blocks.1.mlp.out.hook_in", "blocks.1.mlp.hook_post"),
        ("embed.hook_out", "hook_embed"),
    ]:
        assert resolve_sites(bridge, native).names == resolve_sites(bridge, classic).names
    assert resolve_sites(bridge, "blocks.2.hook_out").names == ("blocks.2.hook_resid_post",)


def test_one_tensor_asked_for_under_two_names_is_kept_once(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    asked = ["blocks.*.hook_resid_pre", "blocks.*.hook_resid_post", "blocks.1.hook_in"]
    assert resolve_sites(bridge, asked).names == (
        "blocks.0.hook_resid_pre",
        "blocks.0.hook_resid_post",
        "blocks.1.hook_resid_post",
        "blocks.2.hook_resid_post",
    )


def test_a_name_that_was_asked_for_alone_is_kept(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    assert resolve_sites(bridge, "blocks.*.hook_resid_pre").names == tuple(
        f"blocks.{layer}.hook_resid_pre" for layer in range(3)
    )


def test_a_star_stops_at_a_dot_and_two_stars_do_not(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    assert resolve_sites(bridge, "blocks.*.hook_mlp_out").names == tuple(
        f"blocks.{layer}.hook_mlp_out" for layer in range(3)
    )
    everything = resolve_sites(bridge, "**")
    assert [s.name for s in available_sites(bridge)] == list(everything.names)
    assert "blocks.0.attn.hook_pattern" in everything.refused
    assert resolve_sites(bridge, "**.hook_z").names == tuple(
        f"blocks.{layer}.attn.hook_z" for layer in range(3)
    )


def test_a_misspelt_site_is_refused_with_near_misses(model_directory: Directory):
    bridge = load(str(model_directory("gpt2")))
    with pytest.raises(UnknownSite, match=r"blocks\.1\.hook_resid_post"):
        resolve_sites(bridge, "blocks.1.hook_residpost")
    with pytest.raises(UnknownSite, match="interp model sites"):
        resolve_sites(bridge, ["blocks.*.hook_resid_post", "nonsense.*"])
    with pytest.raises(Unsupported, match="no site"):
        resolve_sites(bridge, [])


@pytest.mark.parametrize("name", ["hook_pattern", "hook_attn_scores"])
def test_patterns_are_refused_with_the_analysis_that_reads_them(
    model_directory: Directory, name: str
):
    for style in ("gpt2", "llama", "bert"):
        bridge = load(str(model_directory(style)))
        with pytest.raises(Unsupported, match="query and a key axis.*head analyses"):
            resolve_sites(bridge, f"blocks.*.attn.{name}")


def test_a_pattern_is_refused_even_where_it_has_as_many_heads_as_tokens(tmp_path: Path):
    """A (batch, heads, query, key) tensor looks like (batch, pos, ...) when heads = tokens."""
    for n_head in (2, 4, 8):
        bridge = load(str(tiny_model_directory("gpt2", tmp_path / str(n_head), n_head=n_head)))
        names = {site.name for site in available_sites(bridge)}
        assert "blocks.0.attn.hook_pattern" not in names


@pytest.mark.parametrize("style", ["mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])
def test_neurons_of_a_mixture_are_refused_with_the_right_sites(
    model_directory: Directory, style: str
):
    bridge = load(str(model_directory(style)))
    for leaf, right in (("hook_post", "mlp.hook_out"), ("hook_pre", "mlp.hook_in")):
        with pytest.raises(Unsupported, match="not its neurons") as error:
            resolve_sites(bridge, f"blocks.*.mlp.{leaf}")
        assert f"blocks.0.{right}" in str(error.value)
        assert "blocks.0.mlp.gate.hook_out" in str(error.value)
    shared = "blocks.*.mlp.shared_expert.hook_post"
    if style == "qwen2_moe":
        found = resolve_sites(bridge, shared)
        assert [(site.shape, site.flattened) for site in found.sites] == [((40,), True)] * 3
    else:
        with pytest.raises(UnknownSite):
            resolve_sites(bridge, shared)


@pytest.mark.parametrize("style", ["mixtral", "olmoe", "qwen2_moe", "qwen3_moe"])
@torch.no_grad()
def test_router_logits_are_flattened_in_the_order_of_batch_and_pos(
    model_directory: Directory, style: str
):
    bridge = load(str(model_directory(style)))
    (site,) = resolve_sites(bridge, "blocks.1.mlp.gate.hook_out").sites
    assert (site.flattened, site.shape) == (True, (4,))
    values = cached(bridge)
    inputs = values["blocks.1.mlp.hook_in"]
    router = bridge.blocks[1].mlp.gate.original_component.weight
    expected = torch.einsum("bpd,ed->bpe", inputs, router)
    torch.testing.assert_close(values[site.name].reshape(2, 9, 4), expected)


def test_layers_that_lack_a_site_are_listed_as_absent(tmp_path: Path):
    """A Switch model whose every second layer is dense: neurons in one, a mixture in the other."""
    bridge = load(str(tiny_model_directory("switch", tmp_path, num_layers=4)))
    found = resolve_sites(bridge, "encoder_blocks.*.mlp.hook_post")
    layers = [site.layer for site in found.sites]
    assert found.absent_layers == {
        "encoder_blocks.*.mlp.hook_post": tuple(i for i in range(4) if i not in layers)
    }
    assert 0 < len(layers) < 4
    assert all(site.shape == (48,) for site in found.sites)


def test_berts_misnamed_sites_are_refused_with_the_right_ones(model_directory: Directory):
    bridge = load(str(model_directory("bert")))
    with pytest.raises(Unsupported, match=r"attn\.o\.hook_out"):
        resolve_sites(bridge, "blocks.*.hook_attn_out")
    with pytest.raises(Unsupported, match=r"ln1\.hook_out"):
        resolve_sites(bridge, "blocks.*.hook_resid_mid")


def test_a_hook_that_the_forward_passes_by_is_refused(model_directory: Directory):
    """T5's two stacks hold the embedding under names of their own."""
    bridge = load(str(model_directory("t5")))
    with pytest.raises(Unsupported, match="does not reach"):
        resolve_sites(bridge, "hook_embed")


def test_a_hook_that_is_switched_off_is_refused_and_then_found_once_it_is_on(
    model_directory: Directory,
):
    bridge = load(str(model_directory("gpt2")))
    with pytest.raises(Unsupported, match="switched off"):
        resolve_sites(bridge, "blocks.0.attn.hook_result")
    bridge.set_use_attn_result(True)
    assert resolve_sites(bridge, "blocks.0.attn.hook_result").sites[0].shape == (4, 32)


def test_looking_for_sites_leaves_the_callers_hooks_and_the_model_alone(
    model_directory: Directory,
):
    bridge = load(str(model_directory("gpt2")))
    seen: list[str] = []
    bridge.add_hook("blocks.0.hook_resid_post", lambda value, hook: seen.append(hook.name))
    before = {name: p.clone() for name, p in bridge.original_model.named_parameters()}
    resolve_sites(bridge, "blocks.*.hook_resid_post")
    seen.clear()
    with torch.no_grad():
        bridge(tokens())
    assert len(seen) == 1
    for name, parameter in bridge.original_model.named_parameters():
        assert torch.equal(parameter, before[name])
    assert all(not hook.fwd_hooks for n, hook in bridge.hook_dict.items() if "0" not in n)


def test_sites_are_found_under_half_precision_and_in_a_model_without_tokenizer(tmp_path: Path):
    bridge = load(str(tiny_model_directory("llama", tmp_path, tokenizer=False)), dtype="bfloat16")
    assert resolve_sites(bridge, "blocks.*.hook_resid_post").names[-1] == "blocks.2.hook_resid_post"


def test_the_last_layer_to_run_is_that_of_the_deepest_site():
    assert last_layer(["blocks.0.hook_resid_post", "blocks.11.mlp.hook_post"]) == 11
    assert last_layer(["hook_embed"]) == 0
    assert last_layer(["blocks.2.hook_resid_pre", "ln_final.hook_normalized"]) is None
    assert last_layer(["encoder_blocks.1.hook_resid_post"]) is None


def test_a_sites_width_is_the_product_of_its_shape():
    site = Site(
        name="blocks.0.attn.hook_q",
        stack="blocks",
        layer=0,
        shape=(4, 8),
        flattened=False,
        aliases=(),
    )
    assert site.width == 32
