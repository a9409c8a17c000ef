"""Semantic induction: what a head raises when it attends to the head of a relation.

`score_relations` looks at every triplet (head, relation, tail) of a corpus: where a head attends to
the head entity, how much of what it thereby raises is the tail, against control tails of its type.
Presets fix the choices; `ren2024` is the formula of arXiv 2402.13055 as printed.

    from interp.heads.relations import score_relations
    scores = score_relations("relations/grammar", "sentences.conllu")
    scores.significant("relation.obj"), scores.array("rate", "relation.obj")
    scores.notes["relation.obj"]["coverage"]
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "PRESETS": "choices",
    "RelationChoices": "choices",
    "choices_of": "choices",
    "EventPlan": "events",
    "plan_events": "events",
    "RelationObserver": "observer",
    "score_relations": "run",
    "tally_relations": "run",
    "head_scores": "summary",
    "semantic_heads": "summary",
    "RelationTally": "tally",
    "merged": "tally",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
