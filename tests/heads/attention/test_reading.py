"""One forward pass for every observer, and what is refused before it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import LayerView, read_layers
from interp.results.errors import BadInput, Unsupported
from tests.heads.making import random_batch, tiny_bridge


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    return tiny_bridge("gpt2", tmp_path_factory.mktemp("models"))


class Layers:
    def __init__(self, *needs: str) -> None:
        self.needs = frozenset(needs)
        self.layers: list[int] = []
        self.scales: list[Tensor | None] = []

    def see(self, view: LayerView) -> None:
        self.layers.append(view.layer)

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:
        self.scales.append(final_scale)


def test_observers_share_one_forward_pass_a_batch(bridge: TransformerBridge) -> None:
    passes: list[int] = []
    counter = bridge.blocks[0].register_forward_hook(lambda *_: passes.append(1))
    several = [Layers("pattern"), Layers("v", "pattern"), Layers("final_scale")]
    n = read_layers(bridge, [random_batch(), random_batch(first=3)], several)
    counter.remove()
    assert (n, len(passes)) == (6, 2)
    assert several[0].layers == several[1].layers == [0, 1, 2] * 2


def test_the_pass_ends_where_nothing_more_is_needed(bridge: TransformerBridge) -> None:
    beyond: list[str] = []
    handles = [
        bridge.blocks[2].mlp.register_forward_hook(lambda *_: beyond.append("mlp")),
        bridge.ln_final.register_forward_hook(lambda *_: beyond.append("final")),
    ]
    read_layers(bridge, [random_batch()], [Layers("pattern")])
    for handle in handles:
        handle.remove()
    assert beyond == []


def test_no_hook_is_left_behind_even_after_an_error(bridge: TransformerBridge) -> None:
    class Broken(Layers):
        def see(self, view: LayerView) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_layers(bridge, [random_batch()], [Broken("pattern")])
    assert not any(point.has_hooks() for point in bridge.hook_dict.values())


def test_a_sequence_longer_than_the_context_is_refused(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="65 tokens does not fit the context of 64"):
        read_layers(bridge, [random_batch(pos=65)], [Layers("pattern")])


def test_a_model_that_carries_hooks_is_refused(bridge: TransformerBridge) -> None:
    bridge.add_hook("blocks.0.hook_out", lambda tensor, hook: tensor)
    try:
        with pytest.raises(BadInput, match="carries hooks"):
            read_layers(bridge, [random_batch()], [Layers("pattern")])
    finally:
        bridge.reset_hooks()


@pytest.mark.parametrize(("style", "why"), [("t5", "no decoder"), ("bert", "no causal decoder")])
def test_a_model_that_is_no_causal_decoder_is_refused(style: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=why):
        HeadGeometry.of(tiny_bridge(style, tmp_path))


def test_a_model_without_attention_patterns_is_refused_by_name(
    bridge: TransformerBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = {name: p for name, p in bridge.hook_dict.items() if "hook_pattern" not in name}
    monkeypatch.setattr(type(bridge), "hook_dict", property(lambda self: hooks))
    with pytest.raises(Unsupported, match="GPT2LMHeadModel.*computes no attention pattern"):
        HeadGeometry.of(bridge)


def test_bias_free_models_have_zero_biases(tmp_path: Path) -> None:
    geometry = HeadGeometry.of(tiny_bridge("llama", tmp_path))
    assert (geometry.n_heads, geometry.n_kv_heads) == (4, 2)
    assert geometry.b_V(0).shape == (2, 8)
    assert not torch.count_nonzero(geometry.b_O(0))
    assert [geometry.kv_head(head) for head in range(4)] == [0, 0, 1, 1]
    assert np.isfinite(geometry.gamma.numpy()).all()
