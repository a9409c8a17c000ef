"""What the sources of a head add up to, in every architecture the bridge loads."""

import pytest
import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.contributions import expanded, head_outputs, source_contributions
from interp.heads.attention.direct import DirectLogits
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import LayerView, read_layers
from interp.results.errors import BadInput
from tests.heads.making import random_batch, tiny_bridge
from tests.models import DECODERS

STYLES = (*DECODERS, "mixtral")


@pytest.fixture(scope="module", params=STYLES)
def bridge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return tiny_bridge(request.param, tmp_path_factory.mktemp("models"))


class Everything:
    needs = frozenset({"pattern", "v", "attn_in", "z", "final_scale", "output_scale"})

    def __init__(self) -> None:
        self.views: list[LayerView] = []
        self.final_scale: Tensor | None = None

    def see(self, view: LayerView) -> None:
        self.views.append(view)

    def end_batch(self, batch: HeadBatch, *, final_scale: Tensor | None) -> None:
        self.final_scale = final_scale


def seen(bridge: TransformerBridge, batch: HeadBatch) -> Everything:
    everything = Everything()
    read_layers(bridge, [batch], [everything])
    return everything


def cached(bridge: TransformerBridge, batch: HeadBatch, site: str) -> Tensor:
    mask = torch.from_numpy(batch.attention_mask).long()
    _, cache = bridge.run_with_cache(torch.from_numpy(batch.tokens), attention_mask=mask)
    return cache[site].detach()


def test_sources_sum_to_each_heads_output_and_heads_to_attn_out(bridge: TransformerBridge) -> None:
    batch = random_batch()
    geometry = HeadGeometry.of(bridge)
    for view in seen(bridge, batch).views:
        W_O = geometry.W_O(view.layer)
        by_source = source_contributions(view.pattern, view.v, W_O)
        by_head = torch.einsum("bqhd,hdm->bhqm", view.z, W_O)
        torch.testing.assert_close(by_source.sum(dim=3), by_head, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            head_outputs(view.pattern, view.v, W_O), by_head.transpose(1, 2), atol=1e-5, rtol=0
        )
        whole = by_source.sum(dim=(1, 3)) + geometry.b_O(view.layer)
        attn_out = cached(bridge, batch, geometry.attn_out_site(view.layer))
        torch.testing.assert_close(whole, attn_out, atol=1e-5, rtol=0)


def test_values_are_the_attention_input_through_W_V(bridge: TransformerBridge) -> None:
    geometry = HeadGeometry.of(bridge)
    for view in seen(bridge, random_batch()).views:
        W_V, b_V = geometry.W_V(view.layer), geometry.b_V(view.layer)
        value = torch.einsum("bpm,hmd->bphd", view.attn_in, W_V) + b_V
        torch.testing.assert_close(geometry.expanded(value), view.v, atol=1e-5, rtol=0)


def test_heads_and_the_rest_of_the_residual_add_up_to_the_logits(
    bridge: TransformerBridge,
) -> None:
    batch = random_batch()
    geometry = HeadGeometry.of(bridge)
    everything = seen(bridge, batch)
    direct, tokens = DirectLogits(geometry), torch.arange(geometry.d_vocab)
    last = everything.views[-1]
    assert everything.final_scale is not None
    scale = everything.final_scale
    head = scale if last.output_scale is None else scale * last.output_scale
    heads = direct.read(last.layer, last.z, tokens, scale=head).sum(dim=2)
    residual = cached(bridge, batch, "ln_final.hook_in")
    attn_out = cached(bridge, batch, geometry.attn_out_site(last.layer))
    if last.output_scale is not None:
        attn_out = attn_out / last.output_scale * geometry.output_gain(last.layer)
    b_O = geometry.b_O(last.layer)
    others = residual - attn_out + b_O
    logits = heads + others @ direct.columns(tokens) / scale + geometry.b_U
    bias = getattr(bridge.ln_final.original_component, "bias", None)
    if bias is not None:
        logits = logits + bias.detach() @ geometry.W_U
    expected = bridge(torch.from_numpy(batch.tokens), return_type="logits").detach()
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=0)


def test_reading_on_the_right_of_padding_changes_no_pattern(bridge: TransformerBridge) -> None:
    padded = random_batch(padded=True)
    whole = seen(bridge, padded).views
    kept = padded.attention_mask[1]
    alone = HeadBatch(
        tokens=padded.tokens[1:2, kept],
        attention_mask=padded.attention_mask[1:2, kept],
        is_query=padded.is_query[1:2, kept],
        sequence=padded.sequence[1:2],
    )
    n = int(kept.sum())
    for both, one in zip(whole, seen(bridge, alone).views, strict=True):
        torch.testing.assert_close(both.pattern[1:2, :, :n, :n], one.pattern, atol=1e-6, rtol=0)


def test_values_that_heads_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(BadInput, match="5 heads cannot share 2"):
        expanded(torch.zeros(1, 2, 2, 4), 5)
