"""Random heads to hold found ones against: as many of each layer, and none of the found."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from math import comb, prod
from typing import NamedTuple

import numpy as np

from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput


class Matched(NamedTuple):
    """Groups of heads with as many in each layer as the group they are matched to."""

    groups: tuple[tuple[Head, ...], ...]
    """All different, and different from the matched group."""
    n_possible: int
    """How many such groups there are."""
    with_found: tuple[int, ...]
    """Layers too full of found heads, in which a group may hold some of them."""


def matched_groups(
    heads: Sequence[Head],
    *,
    n_heads: int,
    draws: int,
    avoid: Iterable[Head],
    rng: np.random.Generator,
) -> Matched:
    """`draws` groups, or all there are if fewer, drawn at random without repeats.

    From each layer as many heads as `heads` has there, none of `avoid`; where a layer has too few
    of those left, none of `heads`; where it has too few of those either, from all of its heads.
    """
    avoided = set(avoid)
    pools: dict[int, list[Head]] = {}
    crowded = []
    wanted = Counter(head.layer for head in heads)
    for layer, n in sorted(wanted.items()):
        whole = [Head(layer, h) for h in range(n_heads)]
        pools[layer] = [head for head in whole if head not in avoided]
        if len(pools[layer]) < n:
            others = [head for head in whole if head not in heads]
            pools[layer] = others if len(others) >= n else whole
            crowded.append(layer)
    own = tuple(sorted(heads))
    total = prod(comb(len(pool), wanted[layer]) for layer, pool in pools.items())
    possible = total - all(head in pools[head.layer] for head in own)
    if possible <= 4 * draws:
        every = product(*(combinations(pool, wanted[layer]) for layer, pool in pools.items()))
        groups = [group for parts in every if (group := sum(parts, ())) != own]
        chosen = sorted(rng.permutation(len(groups))[:draws])
        return Matched(tuple(groups[i] for i in chosen), possible, tuple(crowded))
    found: set[tuple[Head, ...]] = set()
    while len(found) < draws:
        group = tuple(
            pool[i]
            for layer, pool in pools.items()
            for i in sorted(rng.choice(len(pool), wanted[layer], replace=False))
        )
        if group != own:
            found.add(group)
    return Matched(tuple(sorted(found)), possible, tuple(crowded))


def found_heads(
    scores: HeadScores,
    *,
    detector: str = "relation",
    alpha: float = 0.05,
    top: int | None = None,
) -> dict[str, tuple[Head, ...]]:
    """By relation, the heads that a detector found: those that `scores.significant` names.

    Of these the `top` with the highest scores; relations without a head are left out. A column
    without a relation goes by its own name. BadInput if no column is of this detector, or none has
    a head.
    """
    own = [column for column in scores.columns if column.detector == detector]
    if not own:
        known = ", ".join(sorted({column.detector for column in scores.columns}))
        raise BadInput(f"the scores have no column of {detector!r}: there are {known}")
    found = {}
    for column in own:
        heads = scores.significant(column.name, alpha=alpha)
        if heads:
            found[column.relation or column.name] = tuple(heads[:top])
    if not found:
        raise BadInput(
            f"no head of {detector!r} is significant at {alpha} ({len(own)} columns): name heads "
            "yourself, or choose another alpha"
        )
    return found


def united(groups: Iterable[Sequence[Head]]) -> tuple[Head, ...]:
    """Every head of some groups once, sorted."""
    return tuple(sorted({head for group in groups for head in group}))
