"""Models: a TransformerBridge from a name, and what is true of its files.

`load` takes a hub id, a local Hugging Face directory, a bundled name or a model object; sites are
the bridge's hook names. Names, files and tokenizer facts are read without importing torch.

    from interp.models import load, resolve_sites
    bridge = load("polyglot/base")
    resolve_sites(bridge, ["blocks.*.hook_resid_post"]).names
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "load": "load",
    "reference_of": "load",
    "ModelReference": "reference",
    "bundled_names": "reference",
    "resolve": "reference",
    "checkpoints": "series",
    "available_sites": "sites",
    "resolve_sites": "sites",
    "check_fidelity": "fidelity",
    "TokenizerFacts": "tokenizer",
    "load_tokenizer": "tokenizer",
    "tokenizer_facts": "tokenizer",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
