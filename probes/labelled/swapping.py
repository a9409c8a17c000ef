"""Objects swapped within a relation: every object as often as before, none of them true."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

Fact = tuple[str, str]


def swappable(
    facts: Sequence[Fact], known: set[Fact], *, rng: np.random.Generator
) -> tuple[list[Fact], Int[np.ndarray, " facts"]]:
    """The facts that can be swapped, and for each the place of the fact whose object it gets.

    Random among all exchanges of objects after which no pair is in `known`. Where one object holds
    more than half of the facts there is no such exchange; its facts are then left out until there
    is one.
    """
    kept = list(facts)
    while kept:
        true = np.array([[(subject, other) in known for _, other in kept] for subject, _ in kept])
        cost = rng.random((len(kept), len(kept))) + len(kept) * true
        subjects, objects = linear_sum_assignment(cost)
        stuck = true[subjects, objects]
        if not stuck.any():
            return kept, objects
        kept.remove(_most_common(kept, [kept[i] for i in np.flatnonzero(stuck)]))
    return [], np.zeros(0, np.int64)


def _most_common(facts: list[Fact], among: list[Fact]) -> Fact:
    """The fact, among some, whose object is in most of the facts; the last of those that tie."""
    counts = {fact: sum(other == fact[1] for _, other in facts) for fact in among}
    return max(reversed(among), key=lambda fact: counts[fact])
