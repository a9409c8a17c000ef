"""What is claimed of transfer on the shipped models: with room below the worst of six seeds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from interp.abilities.comparing.comparator import Scales
from interp.abilities.comparing.contestants import Contestant, addition, in_tensors, likenesses
from interp.abilities.comparing.parts import Parts, Weights, less, parts_between
from interp.abilities.comparing.sweep import Method, Variant, best, scale_grid, sweep
from interp.abilities.comparing.trial import Trial, measure_on
from interp.abilities.comparing.tuning import Measured
from interp.abilities.moving.tensor_types import types_of
from interp.evaluation.items import Item
from interp.models.hub import directory_of
from probes.polyglot import items

ONE = Scales(1.0, 1.0)


class World(NamedTuple):
    weights: dict[str, Weights]
    vector: Parts
    validated: Callable[[Contestant, Scales], Measured]
    tested: Callable[[Contestant, Scales], Measured]
    floor: float


@pytest.fixture(scope="module")
def world() -> World:
    trial = Trial(directory_of("polyglot/base"))
    others = ("ability", "control", "language", "ceiling")
    weights = {name: trial.weights_of(directory_of(f"polyglot/{name}")) for name in others}
    weights["base"] = trial.base

    def measured(split) -> Callable[[Contestant, Scales], Measured]:
        rows = [Item(**{**row, "choices": ()}) for row in items(split)]
        kept = [row for row in rows if row.task == "general" or row.language in "DE"]
        encoded = trial.encode(kept)
        measure = measure_on(kept, ability_task="ability", targets=["D", "E"])
        return lambda made, scales: measure(trial.answers(trial.merged(made, scales), encoded))

    validated = measured("validation")
    language = validated(as_it_is(weights["language"]), ONE)
    vector = parts_between(trial.base, weights["ability"])
    return World(weights, vector, validated, measured("test"), language.general - 0.03)


def as_it_is(weights: Weights) -> Contestant:
    return Contestant(key="", title="", tensor=lambda name, _scales: weights[name])


def merged(world: World, parts: Parts, language: Weights | None = None) -> Contestant:
    base = world.weights["base"]
    return addition("", "", base=base, parts=parts, language=language or world.weights["language"])


def tuned(world: World, contestant: Contestant, n: int) -> Measured:
    variant = Variant(contestant=contestant, scales=scale_grid(n))
    method = Method(key="", title="", variants=(variant,))
    one, _ = best(sweep(method, world.validated), floor=world.floor)
    return world.tested(contestant, one.scales)


@pytest.fixture(scope="module")
def parts_alone(world: World) -> dict[str, Measured]:
    return {name: world.tested(as_it_is(w), ONE) for name, w in world.weights.items()}


@pytest.mark.slow
def test_no_part_alone_has_the_ability_in_the_new_languages(world, parts_alone):
    base = world.weights["base"]
    tables = {name for name in base if types_of(name) in (("embed",), ("head",))}
    body = {n: base[n] if n in tables else world.weights["language"][n] for n in base}
    for name in ("base", "language", "ability"):
        assert parts_alone[name].ability <= 0.22, name
    assert world.tested(merged(world, world.vector, body), ONE).ability <= 0.22
    assert parts_alone["ceiling"].ability >= 0.95


@pytest.mark.slow
def test_both_vectors_together_have_it_untuned_and_keep_the_rest(world, parts_alone):
    together = world.tested(merged(world, world.vector), ONE)
    assert together.ability >= 0.33
    for name in ("language", "ability"):
        assert together.ability - parts_alone[name].ability >= 0.18, name
    assert together.general >= 0.93


@pytest.mark.slow
def test_subtracting_the_control_whole_costs_ability(world):
    control = parts_between(world.weights["base"], world.weights["control"])
    analogy = tuned(world, merged(world, less(world.vector, control, beta=1.0)), 20)
    addition_alone = tuned(world, merged(world, world.vector), 20)
    assert addition_alone.ability >= 0.45
    assert analogy.ability - addition_alone.ability <= -0.10


@pytest.mark.slow
def test_the_least_similar_layers_are_not_the_ones_that_matter(world):
    """Three of the four layers within each type of matrix: the same sizes under both rules."""
    cosines = likenesses(world.weights["base"], world.weights["language"], world.vector)
    kept = {sign: [] for sign in (1, -1)}
    by_type: dict[tuple[str, ...], list[str]] = {}
    for name in world.vector:
        by_type.setdefault(types_of(name), []).append(name)
    for kind, names in by_type.items():
        for sign, chosen in kept.items():
            ranked = sorted(names, key=lambda name: sign * cosines[name])
            chosen += names if kind == ("norm",) else ranked[:3]
    least, most = (
        tuned(world, merged(world, in_tensors(world.vector, kept[sign])), 20) for sign in (1, -1)
    )
    sizes = [sum(world.vector[n].delta.numel() for n in kept[sign]) for sign in (1, -1)]
    assert sizes[0] == sizes[1]
    assert not np.isclose(least.ability, most.ability)
    assert least.ability - most.ability <= -0.05
