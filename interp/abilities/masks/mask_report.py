"""How steady a mask is: agreement of the masks that two halves of the data give."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from interp.abilities.locating.ranking import EntryRanking, UnitRanking
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.overlap import overlap
from interp.abilities.masks.selection import Selection

SAMPLED = 1_000_000
"""Scores at most that the rank correlation is computed on, evenly spaced."""


def with_supports(mask: NeuronMask, selection: Selection) -> NeuronMask:
    """`mask` with other entries or units of the same model, for comparison."""
    return replace(
        mask, tensors=selection.supports, units=selection.units, threshold=None, histogram=None
    )


def agreement(
    mask: NeuronMask, ranking: EntryRanking | UnitRanking, halves: Sequence[Any]
) -> dict[str, Any]:
    """Rank correlation of the scores of two halves of the data, and overlap of their masks."""
    first, second = (with_supports(mask, ranking.choose(half)) for half in halves)
    return {
        "rank_correlation": _rank_correlation(*(ranking.compared(half) for half in halves)),
        "overlap": overlap(first, second).to_json(),
    }


def _rank_correlation(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> float | None:
    """Spearman's, over all scores or evenly spaced ones of them; None if constant."""
    names = sorted(first)
    n = sum(first[name].size for name in names)
    stride = max(1, n // SAMPLED)
    pooled = [
        np.concatenate([np.empty(0), *(half[name].reshape(-1)[::stride] for name in names)])
        for half in (first, second)
    ]
    if any(len(values) < 2 or np.all(values == values[0]) for values in pooled):
        return None
    result: Any = spearmanr(pooled[0], pooled[1])
    return float(result.statistic)
