import pytest

from interp.abilities.moving.tensor_types import TYPES, of_types, types_of
from interp.results.errors import BadInput, Unsupported
from tests.models import STYLES, tiny_model


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_tensor_of_every_style_has_a_type(style):
    named = {name: types_of(name) for name, _ in tiny_model(style).named_parameters()}
    other = [name for name, types in named.items() if types == ("other",)]
    if style == "bert":
        assert all(name.startswith("cls.") for name in other)
    else:
        assert not other
    parts = {part for types in named.values() for part in types}
    assert parts >= {"q", "k", "v", "o", "up", "down", "embed"}
    # The norms of OLMo have no weights.
    assert ("norm" in parts) == (style != "olmo")


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("model.layers.0.self_attn.q_proj.weight", ("q",)),
        ("model.layers.0.self_attn.q_norm.weight", ("norm",)),
        ("model.layers.3.self_attn.o_proj.weight", ("o",)),
        ("model.layers.3.mlp.gate_proj.weight", ("gate",)),
        ("model.layers.3.mlp.gate.weight", ("router",)),
        ("model.layers.3.mlp.experts.1.down_proj.weight", ("down",)),
        ("model.layers.3.block_sparse_moe.experts.1.w1.weight", ("gate",)),
        ("transformer.h.2.attn.c_attn.bias", ("q", "k", "v")),
        ("h.2.attn.c_proj.weight", ("o",)),
        ("h.2.mlp.c_proj.weight", ("down",)),
        ("gpt_neox.layers.0.attention.dense.weight", ("o",)),
        ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", ("down",)),
        ("bert.encoder.layer.0.attention.output.dense.weight", ("o",)),
        ("bert.encoder.layer.0.output.dense.weight", ("down",)),
        ("encoder.block.0.layer.0.SelfAttention.o.weight", ("o",)),
        ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", ("gate",)),
        ("lm_head.weight", ("head",)),
        ("model.embed_tokens.weight", ("embed",)),
        ("strange", ("other",)),
    ],
)
def test_a_type_is_told_from_the_name(name, types):
    assert types_of(name) == types
    assert set(types) <= {*TYPES, "other"}


def test_a_fused_tensor_is_taken_whole_or_not_at_all():
    names = ["h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight"]
    assert of_types(names, ["o"]) == names[1:]
    assert of_types(names, ["q", "v", "k"]) == names[:1]
    with pytest.raises(Unsupported, match=r"c_attn.*q, k, v"):
        of_types(names, ["q"])
    with pytest.raises(BadInput, match=r"'gate'.*k, o, q, v"):
        of_types(names, ["gate"])
