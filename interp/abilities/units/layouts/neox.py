"""GPT-NeoX and Pythia: query, key and value in one matrix, interleaved head by head."""

from collections.abc import Mapping

from interp.abilities.units.segments import (
    Family,
    Group,
    Place,
    Segment,
    Sizes,
    columns,
    grouped_sizes,
    rows,
)


def places(sizes: Sizes) -> Mapping[str, Place | Group]:
    """Head h owns rows h·3d_h + s·d_h ... of the fused matrix, s = 0, 1, 2 for q, k and v.

    Not three blocks over all heads: that reading takes rows of other heads.
    """
    d, m, heads, width = sizes.d_model, sizes.d_mlp, sizes.n_heads, sizes.d_head
    fused: tuple[Segment, ...] = tuple(
        rows(kind, heads, width, start=part * width, stride=3 * width)
        for part, kind in enumerate(("q_head", "kv_head", "kv_head"))
    )
    norms = ("input_layernorm", "post_attention_layernorm")
    buffers = ("attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq")
    return {
        "mlp.dense_h_to_4h.weight": Place(shape=(m, d), segments=(rows("neuron", m),)),
        "mlp.dense_h_to_4h.bias": Place(shape=(m,), segments=(rows("neuron", m),)),
        "mlp.dense_4h_to_h.weight": Place(shape=(d, m), segments=(columns("neuron", m),)),
        "mlp.dense_4h_to_h.bias": "bias",
        "attention.query_key_value.weight": Place(shape=(3 * heads * width, d), segments=fused),
        "attention.query_key_value.bias": Place(shape=(3 * heads * width,), segments=fused),
        "attention.dense.weight": Place(
            shape=(d, heads * width), segments=(columns("q_head", heads, width),)
        ),
        "attention.dense.bias": "bias",
        **dict.fromkeys((f"{norm}.{part}" for norm in norms for part in _PARTS), "norm"),
        **dict.fromkeys(buffers, "buffer"),
    }


_PARTS = ("weight", "bias")

FAMILY = Family(
    name="neox",
    architectures=("GPTNeoXForCausalLM",),
    model_types=("gpt_neox",),
    sizes=grouped_sizes,
    places=places,
    outside={
        "embed_in.weight": "embed",
        "embed_out.weight": "unembed",
        "final_layer_norm.weight": "norm",
        "final_layer_norm.bias": "norm",
    },
)
