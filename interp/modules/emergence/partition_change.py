"""How far the partitions of two checkpoints agree, between what starts and what chance give."""

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int


class Agreement(NamedTuple):
    """Means over pairs of partitions; NaN where no neuron is alive or there is no pair."""

    ari: float
    """Adjusted Rand index: 1 the same, 0 as by chance."""
    nmi: float
    """Normalised mutual information (arithmetic mean): 1 the same; by chance above 0."""


def agreement_between(
    first: Int[np.ndarray, "starts neurons"],
    second: Int[np.ndarray, "starts neurons"],
    live: Bool[np.ndarray, " neurons"],
) -> Agreement:
    """Every start of one checkpoint with every start of the other, on the neurons alive in both.

    The starts of the two must not share their draws: shared ones agree for that reason alone.
    """
    return _mean_over(list(product(first, second)), live)


def agreement_of_starts(
    starts: Int[np.ndarray, "starts neurons"], live: Bool[np.ndarray, " neurons"]
) -> Agreement:
    """Every pair of starts at one checkpoint: the ceiling of what two checkpoints can show."""
    return _mean_over(list(combinations(starts, 2)), live)


def _mean_over(pairs: list[tuple[np.ndarray, ...]], live: np.ndarray) -> Agreement:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if not pairs or not live.any():
        return Agreement(float("nan"), float("nan"))
    ari = [adjusted_rand_score(a[live], b[live]) for a, b in pairs]
    nmi = [normalized_mutual_info_score(a[live], b[live]) for a, b in pairs]
    return Agreement(float(np.mean(ari)), float(np.mean(nmi)))
