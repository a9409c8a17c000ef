"""Native mixtures of experts: what a model's own routers and experts do with a text.

`read_native` runs a model and returns a `NativeRouting`: load, entropy, overlap, functional
experts, and what a stated capacity would drop, pad and recover. `native_blocks` reads the layers
themselves, `native_partition` hands their neurons on as a Partition of kind "native".

    from interp.modules.native import read_native
    found = read_native("allenai/OLMoE-1B-7B-0924", "text.jsonl", label="topic", capacity_factor=1)
    found.functions.functional(), found.capacity.share("dropped", 0)
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "NativeRouting": "routing",
    "NativeBlock": "blocks",
    "native_blocks": "blocks",
    "native_partition": "partition",
    "all_expert_neurons": "experts",
    "routed_expert_neurons": "experts",
    "shared_expert_neurons": "experts",
    "block_output": "experts",
    "read_native": "run",
    "restrict_router": "restriction",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
