"""Llama and its kin: separate projections, gated MLP, key and value heads shared by groups."""

from collections.abc import Mapping

from interp.abilities.units.segments import (
    Family,
    Group,
    Place,
    Sizes,
    columns,
    grouped_sizes,
    rows,
)


def places(sizes: Sizes) -> Mapping[str, Place | Group]:
    """Neuron i is row i of gate and up and column i of down; head h of group g = h // (H/G).

    `q_norm` and `k_norm` are shared by all heads in Qwen 3 and Gemma 3; in OLMo 2 they have an
    entry a channel, but divide by a norm over all heads. They belong to the layer.
    """
    d, m, width = sizes.d_model, sizes.d_mlp, sizes.d_head
    heads, groups = sizes.n_heads, sizes.n_kv_heads
    per_unit = {
        "mlp.gate_proj": (rows("neuron", m), m),
        "mlp.up_proj": (rows("neuron", m), m),
        "self_attn.q_proj": (rows("q_head", heads, width), heads * width),
        "self_attn.k_proj": (rows("kv_head", groups, width), groups * width),
        "self_attn.v_proj": (rows("kv_head", groups, width), groups * width),
    }
    found: dict[str, Place | Group] = {}
    for name, (segment, length) in per_unit.items():
        found[f"{name}.weight"] = Place(shape=(length, d), segments=(segment,))
        found[f"{name}.bias"] = Place(shape=(length,), segments=(segment,))
    found["mlp.down_proj.weight"] = Place(shape=(d, m), segments=(columns("neuron", m),))
    found["self_attn.o_proj.weight"] = Place(
        shape=(d, heads * width), segments=(columns("q_head", heads, width),)
    )
    found["mlp.down_proj.bias"] = found["self_attn.o_proj.bias"] = "bias"
    for norm in (
        *("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm"),
        *("post_feedforward_layernorm", "self_attn.q_norm", "self_attn.k_norm"),
    ):
        found[f"{norm}.weight"] = "norm"
    found["self_attn.rotary_emb.inv_freq"] = "buffer"
    return found


FAMILY = Family(
    name="llama",
    architectures=(
        *("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"),
        *("Gemma3ForCausalLM", "OlmoForCausalLM", "Olmo2ForCausalLM"),
    ),
    model_types=("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "olmo", "olmo2"),
    sizes=grouped_sizes,
    places=places,
    outside={"embed_tokens.weight": "embed", "lm_head.weight": "unembed", "norm.weight": "norm"},
)
