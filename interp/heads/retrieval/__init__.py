"""Retrieval heads: which heads look at the token in a long context that the model copies.

A haystack is a long prompt that asks for a needle in it. While the model writes its answer, a head
hits where its most attended position lies in the needle and holds the token written (arXiv
2404.15574). Key-value lines of random tokens make haystacks for a small model.

    from interp.heads.retrieval import Settings, score_retrieval
    score_retrieval(bridge, settings=Settings(n_lines=16)).top("retrieval", 10)
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Haystack": "haystack",
    "Needle": "haystack",
    "Settings": "run",
    "key_value_haystacks": "haystack",
    "needle_haystacks": "haystack",
    "read_needles": "haystack",
    "score_retrieval": "score",
    "mask_retrieval": "masking",
    "RetrievalMasking": "masked",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
