"""How steady a mask is: agreement of the masks that two halves of the data give."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from interp.abilities.locator import Locator
from interp.abilities.mask import NeuronMask
from interp.abilities.overlap import overlap
from interp.abilities.selection import Scope, Selection, select_by

SAMPLED = 1_000_000
"""Entries at most that the rank correlation is computed on, evenly spaced."""

Scored = Mapping[str, Float[Tensor, "..."]]


def with_supports(mask: NeuronMask, selection: Selection) -> NeuronMask:
    """`mask` with other entries of the same model, for comparison."""
    return replace(mask, tensors=selection.supports, threshold=None, histogram=None)


def agreement(
    mask: NeuronMask, locator: Locator, halves: Sequence[Scored], *, share: float, scope: Scope
) -> dict[str, Any]:
    """Rank correlation of the scores of two halves of the data, and overlap of their masks."""
    first, second = (
        with_supports(mask, select_by(locator, half, share=share, scope=scope)) for half in halves
    )
    return {
        "rank_correlation": _rank_correlation(*halves),
        "overlap": overlap(first, second).to_json(),
    }


def _rank_correlation(first: Scored, second: Scored) -> float | None:
    """Spearman's, over all matrices' entries or evenly spaced ones of them; None if constant."""
    names = [name for name in sorted(first) if first[name].ndim > 1]
    n = sum(first[name].numel() for name in names)
    stride = max(1, n // SAMPLED)
    pooled = [
        np.concatenate([half[name].flatten()[::stride].cpu().numpy() for name in names])
        if names
        else np.empty(0)
        for half in (first, second)
    ]
    if any(len(values) < 2 or np.all(values == values[0]) for values in pooled):
        return None
    result: Any = spearmanr(pooled[0], pooled[1])
    return float(result.statistic)
