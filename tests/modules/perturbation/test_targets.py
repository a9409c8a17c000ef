"""Which neurons are chosen: the contrast, controls of equal number and mass, names of functions."""

from dataclasses import replace

import numpy as np
import pytest

from interp.modules.perturbation.targets import (
    by_experts,
    by_neurons,
    carried,
    function_rows,
    random_experts,
    random_mass,
    random_neurons,
)
from interp.results.errors import BadInput
from tests.modules.functional.test_functional import SITE, blocks, scores_with
from tests.neurons.making import a_function


def test_neurons_that_are_good_at_everything_are_nobodys_module() -> None:
    score = np.full((3, 64), 0.5)
    score[:, :16] = 0.95
    for function in range(3):
        score[function, 16 * (function + 1) : 16 * (function + 2)] = 0.8
    scores = scores_with(score)
    for function in range(3):
        target = by_experts([(scores, blocks(64, 4))], f"f{function}", 1)
        assert target.experts == {SITE: (function + 1,)}
        found = by_neurons([scores], f"f{function}", {SITE: 16})
        np.testing.assert_array_equal(found.units[SITE], target.units[SITE])


def test_dead_neurons_are_not_chosen_by_their_scores() -> None:
    score = np.full((2, 64), 0.5)
    score[0, 48:] = 1.0
    score[0, :16] = 0.7
    dead = np.arange(64) >= 48
    target = by_experts([(scores_with(score, dead=dead), blocks(64, 4))], "f0", 1)
    assert target.experts == {SITE: (0,)}


def test_selectivity_without_an_upper_end_chooses_no_expert() -> None:
    scores = scores_with(np.random.default_rng(0).uniform(size=(2, 64)))
    with pytest.raises(BadInput, match="selectivity, which cannot be averaged"):
        by_experts([(replace(scores, measure="selectivity"), blocks(64, 4))], "f0", 1)
    by_experts([(replace(scores, measure="mutual information"), blocks(64, 4))], "f0", 1)


def test_random_neurons_are_as_many_and_as_often_dead() -> None:
    rng = np.random.default_rng(0)
    dead = {SITE: np.arange(100) % 3 == 0}
    units = {SITE: np.arange(20)}
    seen = np.zeros(100)
    for _ in range(300):
        drawn = random_neurons(units, dead, rng=rng)[SITE]
        assert len(set(drawn)) == 20
        assert dead[SITE][drawn].sum() == dead[SITE][:20].sum()
        seen[drawn] += 1
    assert seen.min() > 20


def test_random_neurons_of_equal_mass_carry_as_much() -> None:
    rng = np.random.default_rng(0)
    mass = {SITE: rng.uniform(0, 0.02, 500)}
    units = {SITE: np.argsort(mass[SITE])[-50:]}
    for _ in range(20):
        drawn = random_mass(units, mass, rng=rng)
        assert carried(drawn, mass) == pytest.approx(carried(units, mass), abs=0.01)
        assert len(drawn[SITE]) > 50


def test_random_experts_are_whole_and_different() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_experts([blocks(64, 8)], 2, rng=rng)[SITE] for _ in range(50)]
    assert all(len(units) == 16 and len(set(units // 8)) == 2 for units in drawn)
    assert len({tuple(units) for units in drawn}) > 10


def test_a_function_is_known_by_its_name_its_value_or_its_group() -> None:
    names = [("upos=VERB", "upos"), ("upos=NOUN", "upos"), ("is_digit", "is_digit")]
    functions = tuple(a_function(name, group=group) for name, group in names)
    scores = replace(scores_with(np.full((3, 8), 0.5)), functions=functions)
    for wanted, rows in (("is_digit", [2]), ("VERB", [0]), ("upos", [0, 1])):
        found = function_rows(scores, wanted)
        assert found is not None
        assert found.tolist() == rows
    assert function_rows(scores, "ADJ") is None


def test_more_experts_than_there_are_is_refused() -> None:
    scores = scores_with(np.full((2, 64), 0.5))
    with pytest.raises(BadInput, match="5 experts of each layer: .* has 4"):
        by_experts([(scores, blocks(64, 4))], "f0", 5)
