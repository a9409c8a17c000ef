"""How much of what a head does is copy suppression, and nothing else.

Copy-suppression-preserving ablation (arXiv 2310.04625) leaves a head only this: of the few tokens
in view that are most predicted, the lowering of their own logit. What that explains of the head's
effect on the predictions is the result.

    from interp.heads.suppression import explained_suppression
    effect = explained_suppression("gpt2", [(10, 7)], text="stories.jsonl")
    effect.explained, effect.interval, effect.null
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "SuppressionEffect": "effect",
    "explained_suppression": "run",
    "preserved_write": "preserving",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
