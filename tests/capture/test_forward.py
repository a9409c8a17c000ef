from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.forward import SiteReader, refuse_hooked, with_token_axis
from interp.models.sites import available_sites
from interp.results.errors import BadInput, Unsupported
from tests.models import D_VOCAB

Bridges = Callable[[str], TransformerBridge]
SHAPE = (3, 10)


@pytest.fixture
def tokens() -> np.ndarray:
    return np.random.default_rng(1).integers(4, D_VOCAB, SHAPE)


def right_padded() -> np.ndarray:
    mask = np.ones(SHAPE, bool)
    mask[1, 7:] = False
    return mask


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "qwen2", "mixtral", "bert"])
@pytest.mark.parametrize("padded", [False, True])
def test_every_site_reads_what_run_with_cache_reads(
    bridge: Bridges, tokens: np.ndarray, style: str, padded: bool
) -> None:
    model = bridge(style)
    mask = right_padded() if padded else np.ones(SHAPE, bool)
    # BERT passes hook_mlp_in though it is switched off, and run_with_cache then skips it.
    sites = [s.name for s in available_sites(model) if not s.name.endswith("hook_mlp_in")]
    rows = SiteReader(model, sites).read(tokens, mask, mask)
    # The cache of keys lays them out differently in memory, which rounds differently.
    arguments: dict[str, Any] = {} if style == "bert" else {"use_cache": False}
    if padded:
        arguments["attention_mask"] = torch.from_numpy(mask).long()
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.from_numpy(tokens), names_filter=sites, **arguments)
    for site in sites:
        value = cache[site]
        expected = value.reshape(*SHAPE, *value.shape[value.ndim - rows[site].ndim + 1 :])
        assert np.array_equal(rows[site], expected[torch.from_numpy(mask)].numpy()), site


def test_no_later_layer_runs_than_the_last_one_asked_for(
    bridge: Bridges, tokens: np.ndarray
) -> None:
    model = bridge("gpt2")
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in (
            *((f"block {i}", block.ln1) for i, block in enumerate(model.blocks)),
            ("ln_final", model.ln_final),
        )
    ]
    everything = np.ones(SHAPE, bool)
    try:
        SiteReader(model, ["blocks.1.hook_resid_post"]).read(tokens, everything, everything)
        stopped = list(ran)
        ran.clear()
        SiteReader(model, ["hook_unembed"]).read(tokens, everything, everything)
    finally:
        for handle in handles:
            handle.remove()
    assert stopped == ["block 0", "block 1"]
    assert ran[-1] == "ln_final"


def test_sites_of_different_layers_come_from_one_pass(bridge: Bridges, tokens: np.ndarray) -> None:
    model = bridge("llama")
    passes: list[int] = []
    handle = model.embed.register_forward_hook(lambda *_: passes.append(1))
    everything = np.ones(SHAPE, bool)
    SiteReader(model, [f"blocks.{i}.hook_resid_post" for i in range(3)]).read(
        tokens, everything, everything
    )
    handle.remove()
    assert len(passes) == 1


def count_hooks(model: TransformerBridge) -> int:
    modules = list(model.modules())
    return sum(len(module._forward_hooks) for module in modules) + sum(
        len(point.fwd_hooks) for point in model.hook_dict.values()
    )


def test_every_hook_is_gone_after_an_exception_inside_the_forward(
    bridge: Bridges, tokens: np.ndarray
) -> None:
    model = bridge("gpt2")
    before = count_hooks(model)
    everything = np.ones(SHAPE, bool)
    with pytest.raises(Unsupported, match="hook_pattern"):
        SiteReader(model, ["blocks.0.attn.hook_pattern", "hook_unembed"]).read(
            tokens, everything, everything
        )
    with pytest.raises(IndexError):
        SiteReader(model, ["hook_unembed"]).read(tokens + D_VOCAB, everything, everything)
    assert count_hooks(model) == before


def test_dropout_is_off_and_the_callers_mode_comes_back(
    bridge: Bridges, tokens: np.ndarray
) -> None:
    model = bridge("gpt2")
    everything = np.ones(SHAPE, bool)
    reader = SiteReader(model, ["blocks.2.hook_resid_post"])
    expected = reader.read(tokens, everything, everything)
    model.train()
    model.original_model.train()
    try:
        got = reader.read(tokens, everything, everything)
        assert model.original_model.training
    finally:
        model.eval()
        model.original_model.eval()
    assert np.array_equal(got["blocks.2.hook_resid_post"], expected["blocks.2.hook_resid_post"])


def test_rows_are_ours_and_do_not_change_when_the_model_edits_its_tensor(
    bridge: Bridges, tokens: np.ndarray
) -> None:
    model = bridge("gpt2")
    everything = np.ones(SHAPE, bool)
    seen: list[torch.Tensor] = []
    point = model.hook_dict["blocks.0.hook_resid_post"]
    reader = SiteReader(model, ["blocks.0.hook_resid_post"])
    point.add_hook(lambda tensor, *, hook: seen.append(tensor))
    rows = reader.read(tokens, everything, everything)["blocks.0.hook_resid_post"]
    point.remove_hooks()
    kept = rows.copy()
    seen[0].zero_()
    assert np.array_equal(rows, kept)
    assert kept.any()


def test_a_model_that_carries_hooks_is_refused(bridge: Bridges) -> None:
    model = bridge("gpt2")
    point = model.hook_dict["blocks.0.hook_resid_post"]
    point.add_hook(lambda tensor, *, hook: tensor * 2)
    try:
        with pytest.raises(BadInput, match="reset_hooks"):
            refuse_hooked(model)
    finally:
        point.remove_hooks()


def test_a_tensor_flattened_over_batch_and_pos_is_unflattened() -> None:
    value = torch.arange(24.0).reshape(6, 4)
    assert with_token_axis(value, (2, 3), "router").shape == (2, 3, 4)


def test_a_tensor_without_a_token_axis_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match=r"pattern has shape \(2, 4, 3, 3\)"):
        with_token_axis(torch.zeros(2, 4, 3, 3), (2, 3), "pattern")
