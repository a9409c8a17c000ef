"""Where the weights of an ability go in a PEFT adapter: by which tensor, under which name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interp.results.errors import BadInput

_CONV1D = re.compile(r"(^|\.)h\.\d+\.(attn\.c_(attn|proj)|mlp\.c_(fc|proj))\.weight$")
_TABLES = re.compile(
    r"(^|\.)(embed_tokens|wte|wpe|embed_in|embed_positions|shared|\w*_embeddings"
    r"|relative_attention_bias)\.weight$"
)
_NO_MODULE = re.compile(
    r"\.experts\.|\.experts$|\.(mlp|block_sparse_moe)\.gate\.|\.router\.|(^|\.)embed_out\.weight$"
)
"""Tensors that transformers loads into something else than a linear layer of that name."""


@dataclass(frozen=True)
class AdapterLayout:
    """Every tensor of an ability, by what can hold it. Names are those of the base's files."""

    low_rank: tuple[str, ...]
    """Matrices of linear layers."""
    transposed: frozenset[str]
    """Those of them that are stored input first (GPT-2's Conv1D)."""
    whole: tuple[str, ...]
    """Norms, biases, untied embeddings: only as a whole new tensor."""
    never: tuple[str, ...]
    """Tied tables and experts: in no adapter."""


def adapter_layout(
    shapes: Mapping[str, tuple[int, ...]], tied: Iterable[tuple[str, str]]
) -> AdapterLayout:
    """What can hold each tensor, from its name and shape and the base's tied pairs."""
    shared = {name for pair in tied for name in pair}
    never = {name for name in shapes if name in shared or _NO_MODULE.search(name)}
    matrices = {
        name
        for name, shape in shapes.items()
        if len(shape) == 2 and name.endswith(".weight") and not _TABLES.search(name)
    }
    linear = tuple(sorted(matrices - never))
    rest = shapes.keys() - never - matrices
    unnamed = {name for name in rest if not name.endswith((".weight", ".bias"))}
    return AdapterLayout(
        low_rank=linear,
        transposed=frozenset(name for name in linear if _CONV1D.search(name)),
        whole=tuple(sorted(rest - unnamed)),
        never=tuple(sorted(never | unnamed)),
    )


def module_of(name: str) -> str:
    """The module that holds a tensor, as the language model class names it.

    Checkpoints of the bare trunk lack its prefix, which is put before.
    """
    module = name.removesuffix(".weight").removesuffix(".bias")
    if re.match(r"(h\.\d+\.|wte$|wpe$|ln_f$)", module):
        return f"transformer.{module}"
    if re.match(r"(layers\.\d+\.|embed_tokens$|norm$)", module):
        if ".attention.query_key_value" in module or ".attention.dense" in module:
            return f"gpt_neox.{module}"
        return f"model.{module}"
    return module


def saved_name(name: str, layout: AdapterLayout) -> str:
    """What a tensor that is saved whole is called in the adapter's file."""
    module, kind = module_of(name), "bias" if name.endswith(".bias") else "weight"
    if kind == "bias" and f"{name.removesuffix('.bias')}.weight" in layout.low_rank:
        return f"base_model.model.{module}.base_layer.bias"
    return f"base_model.model.{module}.{kind}"


def check_rank(rank: int) -> int:
    """`rank` itself. Raises BadInput below one."""
    if rank < 1:
        raise BadInput(f"the rank is {rank}: expected a whole number of at least 1")
    return rank
