"""Ablation: whether heads that a detector found are what a relation's answers come from.

A score says that a head looks as if it did something; here its output is replaced, and the tail's
logit, the loss and the share of right answers are read again, beside what as many random heads of
the same layers cost. Every head has its own effect too, to set against its score.

    found = ablate_heads(model, ["L1H2"], relations, modes=("mean", "resample"))
    found.value("over_random"), found.apart()
    with heads_ablated(bridge, ["L1H2"], "mean", means=head_means(bridge, corpus.batches(16))):
        ...
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interp.heads.ablation.matching import found_heads, matched_groups, united
from interp.heads.ablation.result import AblationResult

if TYPE_CHECKING:
    from interp.heads.ablation.ablating import ablate_heads as ablate_heads
    from interp.heads.ablation.against import score_against_effect as score_against_effect
    from interp.heads.ablation.choosing import ablate_found as ablate_found
    from interp.heads.ablation.in_context import in_context_measures as in_context_measures
    from interp.heads.ablation.in_context import loss_reduction as loss_reduction
    from interp.heads.ablation.replacing import head_interventions as head_interventions
    from interp.heads.ablation.replacing import head_means as head_means
    from interp.heads.ablation.replacing import heads_ablated as heads_ablated

_HOMES = {
    "score_against_effect": "against",
    "ablate_found": "choosing",
    "ablate_heads": "ablating",
    "head_interventions": "replacing",
    "head_means": "replacing",
    "heads_ablated": "replacing",
    "in_context_measures": "in_context",
    "loss_reduction": "in_context",
}

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    "AblationResult",
    "found_heads",
    "matched_groups",
    "united",
    *_HOMES,
]


def __getattr__(name: str) -> Any:
    # Lazy: opening a result must not load torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
