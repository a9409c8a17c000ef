"""Exactly a share, whatever the scores; groups; ties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.abilities.locating.locators import locator_named
from interp.abilities.masks.selection import Selection, select_by

SHAPES = {"a": (7, 5), "b": (4, 4), "norm": (9,), "z": (6, 3)}
N_MATRICES, N = 35 + 16 + 18, 35 + 16 + 18 + 9


def counts(selection: Selection) -> dict[str, int]:
    return {name: support.count for name, support in selection.supports.items()}


def scores(kind: str, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made = {name: torch.rand(shape, generator=generator) for name, shape in SHAPES.items()}
    if kind == "equal":
        return {name: torch.ones_like(score) for name, score in made.items()}
    if kind == "zero":
        return {name: torch.zeros_like(score) for name, score in made.items()}
    return made


@pytest.mark.parametrize("kind", ["random", "equal", "zero"])
@pytest.mark.parametrize("percent", [0, 1, 5, 10, 50, 100])
@pytest.mark.parametrize("locator", ["change", "bottom"])
def test_the_count_is_the_share_of_all_ranked_entries_rounded_down(
    kind: str, percent: int, locator: str
) -> None:
    chosen = select_by(locator_named(locator), scores(kind), share=percent / 100, scope="global")
    assert sum(counts(chosen).values()) == percent * N // 100
    assert sum(counts(chosen)[name] for name in "abz") == percent * N_MATRICES // 100


@given(st.floats(0, 1), st.integers(0, 5))
def test_matrices_are_ranked_together_and_the_sort_agrees(share: float, seed: int) -> None:
    made = scores("random", seed)
    chosen = select_by(locator_named("change"), made, share=share, scope="global")
    pooled = np.concatenate([made[name].numpy().ravel() for name in "abz"])
    k = sum(counts(chosen)[name] for name in "abz")
    kept = np.concatenate([chosen.supports[name].dense().ravel() for name in "abz"])
    assert set(np.flatnonzero(kept)) == set(np.argsort(-pooled, kind="stable")[:k])


def test_a_large_scale_of_norms_does_not_take_the_matrices_entries() -> None:
    made = scores("random") | {"norm": torch.full((9,), 100.0)}
    chosen = select_by(locator_named("change"), made, share=0.2, scope="global")
    assert counts(chosen)["norm"] == N * 20 // 100 - N_MATRICES * 20 // 100
    assert chosen.thresholds["vectors"] == 100.0
    assert chosen.thresholds["matrices"] < 1


def test_per_tensor_gives_every_tensor_its_share() -> None:
    chosen = select_by(locator_named("change"), scores("random"), share=0.5, scope="tensor")
    assert counts(chosen) == {"a": 17, "b": 8, "norm": 4, "z": 9}


def test_all_scores_are_in_the_histogram() -> None:
    chosen = select_by(locator_named("change"), scores("random"), share=0.1, scope="global")
    assert chosen.histogram is not None
    assert int(chosen.histogram.sum()) == N


def test_ties_go_to_the_first_by_name_and_position() -> None:
    chosen = select_by(locator_named("change"), scores("equal"), share=0.2, scope="global")
    first = chosen.supports["a"].dense().ravel()
    assert first[:13].all() and not first[13:].any()
    assert counts(chosen) == {"a": 13, "b": 0, "norm": 2, "z": 0}
