"""Measures other than average precision: planted units, chance, and other ways of counting."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from interp.capture.store import ActivationStore
from interp.neurons.judging import MEASURES
from interp.neurons.labelling import labelled_functions
from interp.neurons.measures.accuracy import accuracy, halves
from interp.neurons.measures.information import information
from interp.neurons.measures.precision import precision
from interp.neurons.measures.selectivity import selectivity
from interp.neurons.pooling import pooled_values
from interp.neurons.questions import generator_of
from interp.neurons.score import By, score_neurons
from interp.neurons.scores import Measure, NeuronScores
from interp.results.errors import BadInput
from tests.neurons.stores import ANTI, DEAD, DETECTOR, LENGTH, SITE, planted_store, write_store

OTHERS: tuple[By, ...] = ("skill", "information", "selectivity")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("planted") / "store")


def test_every_name_has_its_measure() -> None:
    assert set(MEASURES) == set(get_args(Measure))


@pytest.mark.parametrize("measure", OTHERS)
def test_planted_units_are_found_with_their_direction_and_saved(
    store: ActivationStore, tmp_path: Path, measure: By
) -> None:
    found = score_neurons(store, site=SITE, labels=["answer"], measure=measure, n_permutations=60)
    assert set(found.top(0, 2).tolist()) == {DETECTOR, ANTI}
    assert (found.sign[0, DETECTOR], found.sign[0, ANTI]) == (1, -1)
    assert np.flatnonzero(found.specialised()[0]).tolist() == [DETECTOR, ANTI]
    assert found.p_best()[0] == 1 / 61
    assert np.isnan(found.p[0, DEAD]) and not np.isnan(found.score[0, DEAD])
    assert np.isnan(found.ap_positive).all()
    assert found.best()[0] > found.null_best.max() > found.expected[0]
    loaded = NeuronScores.load(found.save(tmp_path / "scores"))
    assert loaded.measure == found.measure
    np.testing.assert_array_equal(loaded.score, found.score)


@pytest.mark.parametrize("pool", ["max", "token"])
@pytest.mark.parametrize("measure", OTHERS)
def test_labels_that_no_unit_knows_give_the_score_and_the_p_of_chance(
    tmp_path: Path, measure: By, pool: str
) -> None:
    p, best = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((60, 1, 40)).repeat(LENGTH, axis=1).reshape(-1, 40)
        noise = np.repeat(rng.permutation(60) % 2, LENGTH)
        place = tmp_path / f"{seed}"
        found = score_neurons(
            write_store(place, {SITE: values}, {"noise": noise}),
            site=SITE,
            labels=["noise"],
            measure=measure,
            pool="token" if pool == "token" else "max",
            n_permutations=60,
            seed=seed,
        )
        p.append((found.p[0] <= 0.2).mean())
        best.append(found.p_best()[0])
        if measure == "skill":
            assert found.expected[0] == pytest.approx(0.5, abs=0.02)
    assert abs(np.mean(p) - 0.2) < 3 * np.std(p) / np.sqrt(12) + 0.02
    assert stats.kstest(best, "uniform").pvalue > 0.001


def test_accuracy_is_scikit_learns_on_documents_that_set_no_threshold(
    store: ActivationStore,
) -> None:
    found = score_neurons(store, site=SITE, labels=["answer"], measure="skill", n_permutations=2)
    functions = labelled_functions(store, ["answer"])
    values = pooled_values(
        store, SITE, functions.row_of, n_rows=120, kind="max", units=slice(0, 150)
    )
    labels = functions.labels[0]
    training, held_out = halves(
        labels, functions.document, "rows", generator_of(0, "answer", "halves"), name="answer"
    )
    assert not set(training.tolist()) & set(held_out.tolist())
    assert labels[training].mean() == labels[held_out].mean() == 0.5
    for unit in (0, DETECTOR, ANTI, 149):
        bar = values[training, unit].astype(np.float64).mean()
        says = values[held_out, unit] > bar
        right = balanced_accuracy_score(labels[held_out], says)
        expected = right if found.sign[0, unit] == 1 else 1 - right
        assert found.score[0, unit] == pytest.approx(expected, abs=1e-12)


def test_halves_share_no_document_and_refuse_a_text_of_one() -> None:
    documents = np.repeat(np.arange(20), 6)
    labels = (np.arange(120) % 3 == 0).astype(np.int8)
    rng = np.random.default_rng(0)
    training, held_out = halves(labels, documents, "rotations", rng, name="kind")
    assert not set(documents[training]) & set(documents[held_out])
    assert len(training) == len(held_out) == 60
    with pytest.raises(BadInput, match="'kind': a half of its 1 documents has one class only"):
        halves(labels, np.zeros(120, np.int64), "rotations", rng, name="kind")


def drawn_of(seed: int, n: int = 90) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    values = np.maximum(rng.standard_normal((n, 5)), 0).astype(np.float32)
    labels = (rng.random((7, n)) < np.array([0.5, 0.3, 0.5, 0.7, 0.2, 0.5, 0.4])[:, None]) * 1
    return torch.from_numpy(values), torch.from_numpy(labels.astype(np.int8))


def test_each_line_of_labels_is_measured_as_it_would_be_alone() -> None:
    values, drawn = drawn_of(0)
    for line in range(len(drawn)):
        alone = drawn[line : line + 1]
        bits = information(values, alone).score[0]
        np.testing.assert_allclose(information(values, drawn).score[line], bits, atol=1e-12)
        label = alone[0].bool()
        t = np.asarray(stats.ttest_ind(values[label].double(), values[~label].double())[0])
        d_prime = np.abs(t) * np.sqrt(1 / int(label.sum()) + 1 / int((~label).sum()))
        np.testing.assert_allclose(selectivity(values, drawn).score[line], d_prime, atol=1e-9)
        says = (values > 0.5).float()
        expected = [balanced_accuracy_score(alone[0], says[:, unit]) for unit in range(5)]
        np.testing.assert_allclose(accuracy(says, drawn).score[line], expected, atol=1e-12)


def test_average_precision_of_other_counts_is_as_far_above_its_own_chance() -> None:
    values, drawn = drawn_of(1, n=400)
    random = torch.rand(values.shape, generator=torch.Generator().manual_seed(0))
    found = precision(random, drawn)
    # 0.2 positive: average precision itself would be near 0.8 for the other class.
    assert abs(found.score - found.score[0].mean()).max() < 0.25
    perfect = drawn[4][:, None].float()
    assert precision(perfect, drawn).score[4, 0] == pytest.approx(1.0)


def test_a_unit_that_parts_the_classes_without_spread_has_a_finite_d() -> None:
    labels = torch.tensor([[0, 0, 0, 1, 1, 1]], dtype=torch.int8)
    values = torch.stack([labels[0].float(), torch.ones(6)], dim=1)
    found = selectivity(values, labels).score[0]
    assert 1e5 < found[0] < 1e8 and found[1] == 0.0
