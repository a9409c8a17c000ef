"""GPT-2: matrices stored input first (Conv1D), query, key and value side by side in one."""

from collections.abc import Mapping
from typing import Any

from interp.abilities.units.segments import Family, Group, Place, Segment, Sizes, columns, rows


def sizes(config: Mapping[str, Any]) -> Sizes:
    """Sizes under GPT-2's names; every head has its own keys and values."""
    return Sizes(
        n_layers=config["n_layer"],
        d_model=config["n_embd"],
        d_mlp=config.get("n_inner") or 4 * config["n_embd"],
        n_heads=config["n_head"],
        n_kv_heads=config["n_head"],
        d_head=config["n_embd"] // config["n_head"],
    )


def places(sizes: Sizes) -> Mapping[str, Place | Group]:
    """Neuron i is column i of c_fc and row i of c_proj; c_attn holds all q, then all k, then v."""
    d, m = sizes.d_model, sizes.d_mlp

    def heads(make: Any) -> tuple[Segment, ...]:
        return tuple(
            make(kind, sizes.n_heads, sizes.d_head, start=block * d)
            for block, kind in enumerate(("q_head", "kv_head", "kv_head"))
        )

    return {
        "mlp.c_fc.weight": Place(shape=(d, m), segments=(columns("neuron", m),)),
        "mlp.c_fc.bias": Place(shape=(m,), segments=(rows("neuron", m),)),
        "mlp.c_proj.weight": Place(shape=(m, d), segments=(rows("neuron", m),)),
        "mlp.c_proj.bias": "bias",
        "attn.c_attn.weight": Place(shape=(d, 3 * d), segments=heads(columns)),
        "attn.c_attn.bias": Place(shape=(3 * d,), segments=heads(rows)),
        "attn.c_proj.weight": Place(
            shape=(d, d), segments=(rows("q_head", sizes.n_heads, sizes.d_head),)
        ),
        "attn.c_proj.bias": "bias",
        **dict.fromkeys(("ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias"), "norm"),
        **dict.fromkeys(("attn.bias", "attn.masked_bias"), "buffer"),
    }


FAMILY = Family(
    name="gpt2",
    architectures=("GPT2LMHeadModel",),
    model_types=("gpt2",),
    sizes=sizes,
    places=places,
    outside={
        "wte.weight": "embed",
        "wpe.weight": "pos",
        "lm_head.weight": "unembed",
        "ln_f.weight": "norm",
        "ln_f.bias": "norm",
    },
)
