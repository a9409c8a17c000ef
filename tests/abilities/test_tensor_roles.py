"""What a tensor's name says it does."""

import pytest

from interp.abilities.tensor_roles import tensor_role


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.layers.3.self_attn.q_proj.weight", "q"),
        ("model.layers.3.self_attn.q_proj.bias", "q"),
        ("model.layers.0.self_attn.q_norm.weight", "norm"),
        ("model.layers.0.input_layernorm.weight", "norm"),
        ("model.norm.weight", "norm"),
        ("model.layers.0.mlp.gate_up_proj.weight", "gate_up"),
        ("model.layers.0.mlp.gate_proj.weight", "gate"),
        ("transformer.h.0.attn.c_attn.weight", "qkv"),
        ("transformer.h.0.attn.c_proj.weight", "o"),
        ("transformer.h.0.mlp.c_proj.weight", "down"),
        ("transformer.h.0.ln_1.bias", "norm"),
        ("gpt_neox.layers.1.attention.query_key_value.bias", "qkv"),
        ("gpt_neox.layers.1.mlp.dense_4h_to_h.weight", "down"),
        ("model.embed_tokens.weight", "embed"),
        ("lm_head.weight", "unembed"),
        ("model.layers.0.mlp.router.weight", "other"),
    ],
)
def test_the_role_follows_from_the_name(name: str, role: str) -> None:
    assert tensor_role(name) == role
