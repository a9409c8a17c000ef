"""Phi-3: gate above up, and query above key above value, each in one matrix."""

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
    """Neuron i is rows i and m + i of gate_up; qkv holds H·d_h, G·d_h and G·d_h rows."""
    d, m, width = sizes.d_model, sizes.d_mlp, sizes.d_head
    heads, groups = sizes.n_heads, sizes.n_kv_heads
    keys, values = heads * width, (heads + groups) * width
    return {
        "mlp.gate_up_proj.weight": Place(
            shape=(2 * m, d), segments=(rows("neuron", m), rows("neuron", m, start=m))
        ),
        "mlp.down_proj.weight": Place(shape=(d, m), segments=(columns("neuron", m),)),
        "self_attn.qkv_proj.weight": Place(
            shape=((heads + 2 * groups) * width, d),
            segments=(
                rows("q_head", heads, width),
                rows("kv_head", groups, width, start=keys),
                rows("kv_head", groups, width, start=values),
            ),
        ),
        "self_attn.o_proj.weight": Place(
            shape=(d, heads * width), segments=(columns("q_head", heads, width),)
        ),
        "input_layernorm.weight": "norm",
        "post_attention_layernorm.weight": "norm",
    }


FAMILY = Family(
    name="phi3",
    architectures=("Phi3ForCausalLM",),
    model_types=("phi3",),
    sizes=grouped_sizes,
    places=places,
    outside={"embed_tokens.weight": "embed", "lm_head.weight": "unembed", "norm.weight": "norm"},
)
