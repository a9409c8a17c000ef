"""Perturbation of a model built by hand: a function dies with its own block and with no other."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.capture import record
from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus
from interp.corpus.sources import open_corpus
from interp.models.load import load
from interp.modules.perturbation import perturb
from interp.modules.perturbation.items import FunctionItem
from interp.modules.perturbation.result import PerturbationResult
from interp.results.errors import BadInput, Mismatch, Unsupported
from tests.modules.perturbation.blocks import (
    FUNCTIONS,
    SITES,
    home,
    items,
    partition,
    scores,
    write_block_model,
)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory):
    return load(write_block_model(tmp_path_factory.mktemp("blocks")), device="cpu")


@pytest.fixture(scope="module")
def found(bridge) -> PerturbationResult:
    both = [scores(site) for site in SITES], [partition(site) for site in SITES]
    return perturb(bridge, *both, items(), draws=8, bootstrap=200)


def test_the_model_knows_every_answer(found: PerturbationResult) -> None:
    np.testing.assert_array_equal(found.base[0], 1.0)
    assert found.measure == "accuracy"


def test_the_contrast_picks_the_two_halves_of_each_functions_block(
    found: PerturbationResult,
) -> None:
    for row in range(3):
        np.testing.assert_array_equal(found.units[SITES[0]][row], home() == row)
        assert len(found.chosen[FUNCTIONS[row]][SITES[0]]) == 2


def test_a_function_dies_exactly_when_its_own_block_is_at_its_mean(
    found: PerturbationResult,
) -> None:
    np.testing.assert_array_equal(found.drop[0, :3, :, 0], np.eye(4)[:3])
    np.testing.assert_array_equal(found.drop[0, 3, :, 0], 0.0)
    np.testing.assert_array_equal(found.own(), [1, 1, 1, 0])
    assert found.specificity() == (0.75, 0.75, 0.75)


@pytest.mark.parametrize("mode", ["zero", "resample", "shuffle"])
def test_other_modes_kill_the_same_function_and_no_other(bridge, mode: str) -> None:
    one = perturb(
        bridge, [scores()], [partition()], items(), mode=mode, draws=1, bootstrap=10, seed=1
    )
    drop = one.drop[0, :3, :3, 0]
    assert np.diag(drop).min() > 0.5
    if mode == "zero":
        np.testing.assert_array_equal(drop, np.eye(3))


def test_a_little_noise_costs_nothing_and_a_lot_costs_the_function(bridge) -> None:
    def drop(scale: float) -> np.ndarray:
        one = perturb(
            bridge,
            [scores()],
            [partition()],
            items(),
            mode="gaussian-raw",
            scale=scale,
            draws=1,
            bootstrap=10,
        )
        return one.drop[0, :3, :3, 0]

    np.testing.assert_array_equal(drop(0.001), 0.0)
    assert np.diag(drop(20.0)).min() > 0.3


def test_random_neurons_cost_less_than_the_functions_own(found: PerturbationResult) -> None:
    for control in ("random experts", "random neurons", "random neurons of equal mass"):
        assert found.controls[control].shape == (2, 8, 4)
        assert found.over(control) > 2
    assert found.p_own("random neurons")[:3].max() == pytest.approx(1 / 9)
    np.testing.assert_allclose(found.control_units["random neurons"], found.n_units)
    np.testing.assert_allclose(
        found.control_mass["random neurons of equal mass"][:3], found.mass[:3], rtol=0.15
    )


def test_relabelled_rows_and_what_they_can_reach(found: PerturbationResult) -> None:
    """Only the order that keeps f0, f1, f2 in place keeps all three own drops."""
    assert found.p_relabelled[0] == pytest.approx(1 / 24)
    assert found.min_p_relabelled == pytest.approx(1 / 24)


def test_a_function_without_neurons_is_said_to_have_nothing_to_find(
    found: PerturbationResult,
) -> None:
    assert found.nothing_to_find() == ("direct",)
    # Layer 1 is empty, layer 0 and both layers together are all there is.
    np.testing.assert_array_equal(found.whole[0, :, :3, 0], [[1] * 3, [0] * 3, [1] * 3])
    assert "no module to find here" in str(found)


def test_drops_move_with_the_names_of_the_functions(bridge, found: PerturbationResult) -> None:
    """The heavy entries follow a known permutation of the labels."""
    order = (1, 2, 0, 3)
    renamed = {FUNCTIONS[i]: FUNCTIONS[j] for i, j in enumerate(order)}
    moved = [replace(item, function=renamed[item.function]) for item in items()]
    one = perturb(bridge, [scores()], [partition()], moved, draws=1, bootstrap=10)
    names = one.functions
    for row, function in enumerate(names):
        damaged = {names[c] for c in np.flatnonzero(one.drop[0, row, :, 0])}
        assert damaged == ({renamed[function]} if function != "direct" else set())


def test_the_same_seed_gives_the_same_finding(bridge) -> None:
    one, two = (
        perturb(
            bridge,
            [scores()],
            [partition()],
            items(),
            mode="shuffle",
            scale=4.0,
            draws=2,
            bootstrap=20,
            seed=7,
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.drop, two.drop)
    np.testing.assert_array_equal(one.controls["random neurons"], two.controls["random neurons"])


def test_batches_change_nothing(bridge, found: PerturbationResult) -> None:
    both = [scores(site) for site in SITES], [partition(site) for site in SITES]
    one = perturb(bridge, *both, items(), draws=1, bootstrap=10, batch_size=7)
    np.testing.assert_allclose(one.drop[..., 0], found.drop[..., 0], atol=1e-5)


def test_text_without_answers_is_judged_by_its_loss(bridge) -> None:
    plain = [
        replace(i, answer_start=1, answer_end=3, has_answer=False) if i.function == "direct" else i
        for i in items()
    ]
    known = scores(functions=FUNCTIONS[:3])
    one = perturb(bridge, [known], [partition()], plain, draws=1, bootstrap=10)
    assert one.functions == FUNCTIONS[:3]
    assert one.evaluated == FUNCTIONS
    assert np.isnan(one.drop[0, :, 3]).all()
    assert one.measure == "accuracy"
    assert one.drop[1, :, 3, 0].max() < 0.5 < 1 < one.own("loss").min()
    assert "Asked but not disturbed, for want of scores: direct." in str(one)
    only_text = perturb(
        bridge, [scores()], [partition()], items(answers=False), draws=1, bootstrap=10
    )
    assert only_text.measure == "loss"
    assert only_text.own()[:3].min() > 1.0


def test_what_is_saved_is_loaded_and_escaped(found: PerturbationResult, tmp_path: Path) -> None:
    again = PerturbationResult.load(found.save(tmp_path / "found"))
    assert again.to_json() == found.to_json()
    np.testing.assert_array_equal(again.units[SITES[0]], found.units[SITES[0]])
    hostile = replace(found, functions=("<script>", *FUNCTIONS[1:]))
    assert "<script>" not in hostile._repr_html_()


def test_bad_input_is_refused_before_any_work(bridge, model_directory) -> None:
    ask = [scores()], [partition()]
    with pytest.raises(BadInput, match="'f0' has 0 validation and 24 test items"):
        perturb(bridge, *ask, [i for i in items() if i.function != "f0" or i.split == "test"])
    with pytest.raises(BadInput, match="mode 'melt'"):
        perturb(bridge, *ask, items(), mode="melt")
    with pytest.raises(BadInput, match="takes no scale"):
        perturb(bridge, *ask, items(), scale=2.0)
    with pytest.raises(BadInput, match="9 experts of each layer"):
        perturb(bridge, *ask, items(), n_experts=9)
    with pytest.raises(Mismatch, match="no function is in both"):
        perturb(bridge, *ask, [replace(i, function="other") for i in items()])
    with pytest.raises(Mismatch, match="are of model aaaa"):
        perturb(bridge, [scores()], [replace(partition(), model_hash="a" * 64)], items())
    with pytest.raises(Unsupported, match="does not predict the next token"):
        perturb(load(model_directory("bert"), device="cpu"), *ask, items())
    with pytest.raises(Mismatch, match="holds 32 neurons in this model, and the scores are of 48"):
        stream = "blocks.0.hook_resid_post"
        perturb(bridge, [scores(stream)], [partition(stream)], items())
    with pytest.raises(BadInput, match="0 items at once"):
        perturb(bridge, *ask, items(), batch_size=0)
    mixed = replace(items()[0], has_answer=False)
    with pytest.raises(BadInput, match="with and without an answer"):
        perturb(bridge, *ask, [mixed, *items()[1:]])


def test_test_sequences_that_the_scores_saw_are_refused(bridge, tmp_path: Path) -> None:
    def store_of(chosen: list[FunctionItem], name: str) -> ActivationStore:
        corpus = Corpus.from_tokens(np.array([i.tokens for i in chosen]))
        record(bridge, corpus, [SITES[0]], tmp_path / name, max_tokens=10_000)
        return ActivationStore.open(tmp_path / name)

    validation, test = ([i for i in items() if i.split == s] for s in ("validation", "test"))
    clean = store_of(validation, "clean")
    one = perturb(bridge, [scores()], [partition()], items(), store=clean, draws=1, bootstrap=10)
    assert not any("was not checked" in text for text in one.statements)
    with pytest.raises(BadInput, match="3 of 96 test sequences stand in the store"):
        seen = store_of([*validation, *test[:3]], "seen")
        perturb(bridge, [scores()], [partition()], items(), store=seen)


def test_test_items_inside_packed_rows_of_the_store_are_refused(bridge, tmp_path: Path) -> None:
    def packed(chosen: list[FunctionItem], name: str) -> ActivationStore:
        lines = [json.dumps({"ids": list(item.tokens)}) for item in chosen]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        corpus = open_corpus(
            tmp_path / f"{name}.jsonl", None, length=7, packing="pack", field="ids"
        )
        record(bridge, corpus, [SITES[0]], tmp_path / name, max_tokens=10_000)
        return ActivationStore.open(tmp_path / name)

    validation, test = ([i for i in items() if i.split == s] for s in ("validation", "test"))
    assert len(test[0].tokens) % 7, "rows that end where items end would hide the packing"
    clean = packed(validation, "clean")
    perturb(bridge, [scores()], [partition()], items(), store=clean, draws=1, bootstrap=10)
    with pytest.raises(BadInput, match="3 of 96 test sequences stand in the store"):
        seen = packed([*validation[:5], *test[:3], *validation[5:]], "seen")
        perturb(bridge, [scores()], [partition()], items(), store=seen)
