"""Random groups of the same layers, and heads that scores call found."""

from collections import Counter
from math import comb
from typing import Any

import numpy as np
import pytest

from interp.heads.ablation.matching import found_heads, matched_groups, united
from interp.heads.columns import Column, Head
from interp.heads.scores import ARRAYS, HeadScores
from interp.results.errors import BadInput
from interp.results.provenance import Provenance

MADE = Provenance(
    command="test", model_hash=None, corpus_hash=None, seed=0, versions={}, settings={}
)


def groups_of(heads, *, n_heads=8, draws=20, avoid=()):
    return matched_groups(
        heads, n_heads=n_heads, draws=draws, avoid=[*heads, *avoid], rng=np.random.default_rng(0)
    )


def test_groups_have_as_many_heads_a_layer_and_none_of_the_found() -> None:
    heads = [Head(0, 1), Head(2, 0), Head(2, 7)]
    found = groups_of(heads, avoid=[Head(2, 3)])
    assert len(set(found.groups)) == 20
    assert found.n_possible == 7 * comb(5, 2)
    for group in found.groups:
        assert Counter(h.layer for h in group) == {0: 1, 2: 2}
        assert not set(group) & {*heads, Head(2, 3)}


def test_where_few_groups_exist_all_of_them_are_taken_once() -> None:
    found = groups_of([Head(0, 0)], n_heads=4)
    assert found.groups == ((Head(0, 1),), (Head(0, 2),), (Head(0, 3),))
    assert found.n_possible == 3
    assert found.with_found == ()


def test_a_layer_full_of_found_heads_lends_some_and_says_so() -> None:
    heads = [Head(1, 0), Head(1, 1), Head(1, 2)]
    found = groups_of(heads, n_heads=4)
    assert found.with_found == (1,)
    assert found.n_possible == comb(4, 3) - 1
    assert tuple(heads) not in found.groups


def test_another_relations_heads_come_before_the_groups_own() -> None:
    found = groups_of([Head(0, 0)], n_heads=3, avoid=[Head(0, 1), Head(0, 2)])
    assert found.groups == ((Head(0, 1),), (Head(0, 2),))
    assert found.with_found == (0,)


def test_a_whole_layer_has_nothing_to_be_held_against() -> None:
    found = groups_of([Head(0, h) for h in range(3)], n_heads=3)
    assert found.groups == ()
    assert found.n_possible == 0


def test_many_groups_are_drawn_without_repeats_and_the_same_for_a_seed() -> None:
    heads = [Head(layer, 0) for layer in range(6)]
    first, second = groups_of(heads, n_heads=32), groups_of(heads, n_heads=32)
    assert first == second
    assert len(set(first.groups)) == 20


def scores(p_adj: dict[str, list[float]], raise_low: list[float] | None = None) -> HeadScores:
    """One layer; by relation the p of each head, and scores that fall with the head's number."""
    n = len(next(iter(p_adj.values())))
    p = np.array(list(p_adj.values())).T[None]
    arrays: dict[str, Any] = {name: np.ones(p.shape) for name in ARRAYS}
    arrays["p_adj"] = p
    arrays["score"] = np.broadcast_to(np.linspace(1, 0, n)[None, :, None], p.shape).copy()
    columns = tuple(
        Column(name=f"relation.{r}", detector="relation", relation=r, definition="", source="",
               version=1, unit="share", low=0.0, high=1.0, chance="", null="", inputs="relations",
               above_zero=None if raise_low is None else "raise_low")
        for r in p_adj
    )  # fmt: skip
    low = (
        None if raise_low is None else np.broadcast_to(np.array(raise_low)[None, :, None], p.shape)
    )
    extras = {} if low is None else {"raise_low": low.copy()}
    return HeadScores(columns=columns, **arrays, extras=extras, provenance=MADE)


def test_found_heads_are_significant_and_raise_the_tail() -> None:
    made = scores({"a": [0.01, 0.01, 0.5], "b": [0.9, 0.9, 0.9]}, [0.2, -0.1, 0.2])
    assert found_heads(made) == {"a": (Head(0, 0),)}
    assert found_heads(scores({"a": [0.01, 0.01, 0.5]}), top=1) == {"a": (Head(0, 0),)}


def test_nothing_found_and_no_such_detector_are_refused() -> None:
    with pytest.raises(BadInput, match="no head of 'relation' is significant at 0.05"):
        found_heads(scores({"a": [0.5, 0.9]}))
    with pytest.raises(BadInput, match="no column of 'ren2024': there are relation"):
        found_heads(scores({"a": [0.5]}), detector="ren2024")


def test_heads_of_several_groups_are_united_once() -> None:
    assert united([[Head(1, 0), Head(0, 2)], [Head(0, 2)]]) == (Head(0, 2), Head(1, 0))
