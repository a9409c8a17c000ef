"""Heads: what each attention head does, by detectors that share their forward passes.

A detector is one file: what it measures, its source, its unit and its null. `score_heads` runs them
over text and random tokens; every score comes with what chance gives, an interval and a p corrected
for all heads. Nouns open without torch.

    from interp.heads import score_heads
    scores = score_heads("relations/grammar", text="stories.jsonl")
    scores.significant("prefix_matching"), scores.top("previous_token", 3)
    scores.save("scores")
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Column": "columns",
    "Head": "columns",
    "Detector": "detector",
    "HeadScores": "scores",
    "joined": "joining",
    "score_heads": "score",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
