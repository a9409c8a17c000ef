"""Attention of any architecture the bridge knows: its geometry, its reading, its decomposition.

`HeadGeometry` is where the heads of a model are and what they weigh; `read_layers` runs a corpus
once for any number of observers; `source_contributions` splits what a head writes by what it read.

    from interp.heads.attention import HeadGeometry, read_layers
    geometry = HeadGeometry.of(bridge)
    read_layers(bridge, batches, [observer], geometry=geometry)
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "DirectLogits": "direct",
    "HeadGeometry": "geometry",
    "HeadBatch": "batch",
    "LayerView": "reading",
    "Observer": "reading",
    "patterns_on": "looking",
    "read_layers": "reading",
    "expanded": "contributions",
    "head_outputs": "contributions",
    "source_contributions": "contributions",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
