import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from interp.abilities.moving.ability_chunks import AbilityChunks
from interp.abilities.moving.extract import extract
from interp.abilities.moving.likeness import stream_similarity
from interp.abilities.moving.similarity import (
    Moments,
    language_weights,
    moments,
    select_tensors,
    similarity_of,
    tensor_type,
)
from interp.abilities.streaming.checkpoint import Checkpoint
from tests.abilities.checkpoints import near, random_tensors, write_model

numbers = hnp.arrays(np.float32, 24, elements=st.integers(-4, 4).map(float))
masks = hnp.arrays(bool, 24)
ALL = torch.arange(4)


def similarity(language, positions, delta):
    return similarity_of(moments(language, positions, delta))


def test_equal_weights_are_alike_on_both_supports():
    language = torch.tensor([1.0, -2.0, 0.0, 3.0])
    found = similarity(language, ALL, language)
    assert found.on_mask == pytest.approx(1.0, abs=1e-6)
    assert found.on_all == pytest.approx(1.0, abs=1e-6)
    assert similarity(language, None, -language).on_all == pytest.approx(-1.0, abs=1e-6)


def test_disjoint_supports_are_unlike_everywhere_and_undefined_on_the_mask():
    language = torch.tensor([1.0, 2.0, 0.0, 0.0])
    found = similarity(language, torch.tensor([2, 3]), torch.ones(2))
    assert found.on_all == 0.0
    assert math.isnan(found.on_mask)
    assert found.energy_inside == 0.0


def test_zeros_have_no_cosine():
    found = similarity(torch.zeros(4), ALL, torch.ones(4))
    assert math.isnan(found.on_mask)
    assert math.isnan(found.on_all)
    assert math.isnan(found.energy_inside)


@given(numbers, numbers, masks)
def test_the_cosine_over_all_entries_is_bounded_by_the_energy_on_the_mask(ability, language, mask):
    positions = torch.from_numpy(np.flatnonzero(mask))
    found = similarity(torch.from_numpy(language), positions, torch.from_numpy(ability[mask]))
    if not math.isnan(found.on_all):
        assert abs(found.on_all) <= math.sqrt(found.energy_inside) + 1e-6
        sparse = np.where(mask, ability, 0)
        expected = sparse @ language / np.linalg.norm(sparse) / np.linalg.norm(language)
        assert found.on_all == pytest.approx(expected, abs=1e-6)


@given(numbers, numbers, st.lists(st.integers(0, 24), max_size=4))
def test_pieces_add_up_to_the_whole(ability, language, cuts):
    edges = sorted({0, 24, *cuts})
    whole = moments(torch.from_numpy(language), None, torch.from_numpy(ability))
    total = Moments()
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        total = total.plus(
            moments(torch.from_numpy(language[part]), None, torch.from_numpy(ability[part]))
        )
    assert total == pytest.approx(whole)


def test_language_weights_are_the_weighted_sum_of_differences():
    base = torch.tensor([1.0, 2.0])
    one, two = torch.tensor([2.0, 2.0]), torch.tensor([1.0, 5.0])
    expected = torch.tensor([0.5, -3.0])
    assert torch.equal(language_weights(base, [(0.5, one), (-1.0, two)]), expected)


COSINES = {"b": 0.1, "a": 0.1, "c": -0.9, "d": 0.5, "e": float("nan")}


@pytest.mark.parametrize(
    ("k2", "options", "expected"),
    [
        (1.0, {}, "abcde"),
        (0.0, {}, ""),
        (0.2, {}, "c"),
        (0.4, {}, "ce"),
        (0.6, {}, "ace"),
        (0.5, {}, "ace"),
        (0.49, {}, "ce"),
        (0.4, {"select": "most"}, "ad"),
        (0.4, {"absolute": True}, "ae"),
        (0.2, {"select": "none"}, "abcde"),
    ],
)
def test_the_smallest_cosines_are_selected_by_name_among_equals(k2, options, expected):
    assert "".join(select_tensors(COSINES, k2=k2, **options)) == expected


def test_a_random_selection_takes_as_many_of_every_type_as_the_least_similar_one():
    rng = np.random.default_rng(0)
    cosines = {
        f"model.layers.{layer}.{kind}.weight": float(rng.random())
        for layer in range(8)
        for kind in ("q", "up", "norm")
    }
    least = select_tensors(cosines, k2=0.5)
    drawn = {select_tensors(cosines, k2=0.5, select="random", seed=seed) for seed in range(9)}
    assert len(drawn) > 1
    for names in drawn:
        assert sorted(map(tensor_type, names)) == sorted(map(tensor_type, least))
    again = select_tensors(cosines, k2=0.5, select="random", seed=3)
    assert again == select_tensors(cosines, k2=0.5, select="random", seed=3)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_the_streamed_similarity_is_that_of_the_arrays(tmp_path, chunk):
    base = random_tensors(0)
    models = {"base": base, **{name: near(base, i + 1) for i, name in enumerate("alm")}}
    place = {name: write_model(tmp_path / name, t) for name, t in models.items()}
    weights = extract(place["base"], place["a"], tmp_path / "weights", alpha=2.0)
    with Checkpoint(place["base"]) as o, Checkpoint(place["l"]) as one, Checkpoint(place["m"]) as m:
        found = stream_similarity(
            o,
            AbilityChunks(weights, chunk=chunk),
            [(1.0, one), (-0.5, m)],
            chunk=chunk,
            threads=2,
        )
    assert found.keys() == base.keys()
    for name, similar in found.items():
        delta = (models["a"][name] - base[name]).double().flatten()
        language = (models["l"][name] - base[name]) - 0.5 * (models["m"][name] - base[name])
        expected = torch.cosine_similarity(delta, language.double().flatten(), dim=0)
        assert similar.on_all == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("n", [1, 3, 8, 39])
@pytest.mark.parametrize("k2", [0.0, 0.2, 0.5, 0.8, 0.999, 1.0])
def test_the_number_of_selected_tensors_is_the_share_rounded_to_nearest(n, k2):
    cosines = {f"{i:02d}": float(i % 3) for i in range(n)}
    count = len(select_tensors(cosines, k2=k2))
    assert abs(count - k2 * n) <= 0.5
    assert count == n or k2 < 1
    assert count == (k2 * n * 2 + 1) // 2
