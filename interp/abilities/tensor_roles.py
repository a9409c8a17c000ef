"""What a tensor does in its layer, from its name: q, k, v, o, gate, up, down, norm, embed."""

ROLES = {
    "q": ("q_proj", "query", "q_lin"),
    "k": ("k_proj", "key", "k_lin"),
    "v": ("v_proj", "value", "v_lin"),
    "o": ("o_proj", "attn.c_proj", "attention.dense", "out_proj", "out_lin"),
    "qkv": ("qkv_proj", "c_attn", "query_key_value"),
    "gate": ("gate_proj", "w1", "wi_0"),
    "up": ("up_proj", "mlp.c_fc", "dense_h_to_4h", "fc1", "w3", "wi_1", "fc_in"),
    "gate_up": ("gate_up_proj",),
    "down": ("down_proj", "mlp.c_proj", "dense_4h_to_h", "fc2", "w2", "wo", "fc_out"),
    "norm": ("norm", "layernorm", "ln_1", "ln_2", "ln_f", "layer_norm"),
    "embed": ("embed_tokens", "wte", "embed_in", "wpe", "embed_positions", "shared"),
    "unembed": ("lm_head", "embed_out"),
}
"""Ends of module names, by role; fused tensors have roles of their own."""


def tensor_role(name: str) -> str:
    """The role of a tensor, weight or bias; "other" where its name says none."""
    module = name.rsplit(".", 1)[0] if name.endswith((".weight", ".bias")) else name
    ends = [(len(end), role) for role, known in ROLES.items() for end in known if _is(module, end)]
    return max(ends)[1] if ends else "other"


def _is(module: str, end: str) -> bool:
    """Whether the module is called so, or by a longer name of the same kind (`input_layernorm`)."""
    if end in ("norm", "layernorm", "layer_norm"):
        return module.endswith(end)
    return module == end or module.endswith(f".{end}")
