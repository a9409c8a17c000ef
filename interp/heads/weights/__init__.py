"""What a head does by its weights alone: OV and QK circuits from tokens to tokens.

Every circuit is a product through d_head, so its eigenvalues, its diagonal, its largest entries
and blocks of its rows come without the d_vocab x d_vocab matrix. Embeddings are effective ones:
the residual stream after block 0 for a token alone.

    from interp.heads.weights import vocabulary_circuits, written_tokens
    circuits = vocabulary_circuits(bridge)
    written_tokens(circuits, layer=1, head=3, tokens=[17, 18], k=5)
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "vocabulary_circuits": "circuits",
    "VocabularyCircuits": "circuits",
    "written_tokens": "circuits",
    "attended_tokens": "circuits",
    "effective_embedding": "effective",
    "eigenvalue_ratio": "eigenvalues",
    "ov_eigenvalues": "eigenvalues",
    "OrdinalClass": "ordinal",
    "ordinal_classes": "ordinal",
    "read_classes": "ordinal",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
