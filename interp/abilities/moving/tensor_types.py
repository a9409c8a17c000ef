"""Types of tensors by what they do in a layer (q, k, v, o, gate, up, down, norm, embed, head)."""

import re
from collections.abc import Collection, Iterable

from interp.results.errors import BadInput, Unsupported

PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\.experts\.gate_up_proj$", ("gate", "up")),
    (r"(block_sparse_moe|mlp)\.gate$|\.router\.|shared_expert_gate$", ("router",)),
    (r"norm|(^|\.)ln_\w+$|LayerNorm", ("norm",)),
    (r"(attn|attention)\.(c_attn|query_key_value)$", ("q", "k", "v")),
    (r"(attn|attention|self)\.(q_proj|query)$|Attention\.q$", ("q",)),
    (r"(attn|attention|self)\.(k_proj|key)$|Attention\.k$", ("k",)),
    (r"(attn|attention|self)\.(v_proj|value)$|Attention\.v$", ("v",)),
    (
        r"(attn|attention)\.(o_proj|c_proj|dense|out_proj|output\.dense)$|Attention\.o$",
        ("o",),
    ),
    (r"\.(gate_proj|wi_0|w1)$", ("gate",)),
    (r"\.(up_proj|c_fc|dense_h_to_4h|wi|wi_1|w3|fc1|intermediate\.dense)$", ("up",)),
    (r"\.(down_proj|mlp\.c_proj|dense_4h_to_h|wo|w2|fc2|\d+\.output\.dense)$", ("down",)),
    (
        r"(^|\.)(embed_tokens|wte|wpe|embed_in|shared|embed_positions|\w+_embeddings"
        r"|relative_attention_bias)$",
        ("embed",),
    ),
    (r"(^|\.)(lm_head|embed_out)$", ("head",)),
)
"""Endings of a module's name, and the types that its tensor holds: the first that fits counts."""
TYPES = tuple(dict.fromkeys(part for _, parts in PARTS for part in parts))


def types_of(name: str) -> tuple[str, ...]:
    """What a tensor holds; several types where a layout fuses them, "other" where none fits."""
    module = re.sub(r"\.(weight|bias)$", "", name)
    return next((parts for ending, parts in PARTS if re.search(ending, module)), ("other",))


def of_types(names: Iterable[str], types: Collection[str]) -> list[str]:
    """The tensors of these types.

    Raises BadInput on a type that is unknown or that none of the tensors has, Unsupported where a
    tensor holds a type that is asked for and one that is not (a fused q, k and v).
    """
    names = list(names)
    there = {part for name in names for part in types_of(name)}
    for wanted in types:
        if wanted not in there:
            raise BadInput(
                f"no tensor with ability weights is of the type {wanted!r}: there are "
                f"{', '.join(sorted(there))}"
            )
    chosen = [name for name in names if set(types_of(name)) & set(types)]
    for name in chosen:
        if not set(types_of(name)) <= set(types):
            raise Unsupported(
                f"{name!r} holds {', '.join(types_of(name))} in one tensor: ask for all of them "
                "or for none"
            )
    return chosen
