"""Scoring units of a store: planted detectors, chance, and rows that are what they should be."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from interp.capture.store import ActivationStore
from interp.neurons.labelling import labelled_functions
from interp.neurons.pooling import head_norms, pooled_values
from interp.neurons.score import score_neurons
from interp.results.errors import BadInput, Mismatch
from tests.neurons.stores import (
    ANTI,
    DEAD,
    DETECTOR,
    LENGTH,
    N_DOCUMENTS,
    N_UNITS,
    SITE,
    planted_store,
    write_store,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("planted") / "store")


def test_a_planted_detector_scores_one_and_an_anti_detector_one_with_the_other_sign(store):
    found = score_neurons(store, site=SITE, labels=["answer"], n_permutations=50)
    assert [f.name for f in found.functions] == ["answer"]
    assert found.score[0, DETECTOR] == found.score[0, ANTI] == 1.0
    assert (found.sign[0, DETECTOR], found.sign[0, ANTI]) == (1, -1)
    assert found.ap_positive[0, ANTI] < 0.4
    assert found.p_max_t[0, DETECTOR] == 1 / 51
    assert found.p[0, DETECTOR] == found.smallest_p[0, DETECTOR] < 1 / 7000
    assert np.flatnonzero(found.specialised()[0]).tolist() == [DETECTOR, ANTI]
    assert found.best()[0] > found.null_best.max()
    assert set(found.top(0, 2).tolist()) == {DETECTOR, ANTI}


def test_a_unit_that_never_fires_scores_the_share_of_positives_and_is_dead(store):
    found = score_neurons(store, site=SITE, labels=["answer"], n_permutations=20)
    np.testing.assert_array_equal(np.flatnonzero(found.dead), [DEAD])
    assert found.score[0, DEAD] == pytest.approx(0.5, abs=1e-12)
    assert np.isnan(found.q[0, DEAD]) and np.isnan(found.p[0, DEAD])
    assert not found.specialised()[0, DEAD]


def test_scores_are_scikit_learns_over_the_rows_that_were_drawn(store):
    functions = labelled_functions(store, ["language"], seed=3)
    found = score_neurons(store, site=SITE, labels=["language"], n_permutations=2, seed=3)
    values = store.rows(SITE, 0, store.n_rows).reshape(N_DOCUMENTS, LENGTH, -1)[:, 1:].max(axis=1)
    assert [f.name for f in found.functions] == ["language=de", "language=en", "language=zh"]
    assert {f.group for f in found.functions} == {"language"}
    for i, labels in enumerate(functions.labels):
        rows = labels >= 0
        assert labels[rows].mean() == 0.5
        for unit in (0, DETECTOR, ANTI, 149):
            up = average_precision_score(labels[rows], values[rows, unit])
            down = average_precision_score(1 - labels[rows], values[rows, unit])
            assert found.ap_positive[i, unit] == pytest.approx(up, abs=1e-12)
            assert found.score[i, unit] == pytest.approx(max(up, down), abs=1e-12)


@pytest.mark.parametrize("kind", ["max", "mean", "last"])
def test_pooling_is_what_numpy_gives_document_by_document(store, kind):
    functions = labelled_functions(store, ["answer"])
    found = pooled_values(
        store, SITE, functions.row_of, n_rows=functions.n_rows, kind=kind, units=slice(10, 60)
    )
    text = store.rows(SITE, 0, store.n_rows).reshape(N_DOCUMENTS, LENGTH, -1)[:, 1:, 10:60]
    expected = {
        "max": text.max(axis=1),
        "mean": text.mean(axis=1, dtype=np.float64),
        "last": text[:, -1],
    }[kind]
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_cutting_the_units_into_lots_changes_no_bit(store):
    whole = score_neurons(store, site=SITE, labels=["answer"], pool="mean", n_permutations=9)
    cut = score_neurons(
        store, site=SITE, labels=["answer"], pool="mean", n_permutations=9, pooled_bytes=1
    )
    for name in ("ap_positive", "ap_negative", "p", "q", "p_max_t", "null_best"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_reordering_the_units_reorders_the_scores(store):
    one = score_neurons(store, site=SITE, labels=["answer"], n_permutations=9)
    other = score_neurons(store, site="blocks.1.mlp.hook_post", labels=["answer"], n_permutations=9)
    np.testing.assert_array_equal(one.score[:, ::-1], other.score)
    np.testing.assert_array_equal(one.null_best, other.null_best)


def test_a_label_of_tokens_is_scored_token_by_token_without_bos(store):
    found = score_neurons(store, site=SITE, labels=["kind"], pool="token", n_permutations=2)
    assert [f.name for f in found.functions] == ["kind=0", "kind=1", "kind=2"]
    kind = store.column("kind", 0, store.n_rows).reshape(-1, LENGTH)[:, 1:]
    for i, function in enumerate(found.functions):
        assert function.n_positive == function.n_negative == (kind == i).sum()
    with pytest.raises(BadInput, match=r"changes inside one of the documents .*--pool token"):
        score_neurons(store, site=SITE, labels=["kind"])


def test_normalised_scores_are_zero_at_chance_and_one_at_best(store):
    found = score_neurons(
        store, site=SITE, labels=["language"], chance="normalise", n_permutations=20
    )
    f = found.functions[0]
    assert (f.n_positive, f.n_negative) == (N_DOCUMENTS // 3, 2 * N_DOCUMENTS // 3)
    e = found.expected[0]
    others = np.delete(found.ap_positive[0], [DEAD])
    assert (others.mean() - e) / (1 - e) == pytest.approx(0.0, abs=0.03)
    assert found.measure == "normalised average precision"
    assert found.score.max() < 0.6


def test_an_unbalanced_label_is_refused_unless_something_is_done_about_it(store):
    with pytest.raises(BadInput, match="'language=de' is positive on 0.333 of its rows"):
        score_neurons(store, site=SITE, labels=["language"], chance=None)
    even = score_neurons(store, site=SITE, labels=["answer"], chance=None, n_permutations=2)
    assert not even.functions[0].balanced and even.functions[0].n == N_DOCUMENTS


def test_the_draw_of_rows_depends_on_the_seed_and_on_no_other_function(store):
    alone = labelled_functions(store, ["language"], seed=1, per_class=10)
    beside = labelled_functions(store, ["answer", "language"], seed=1, per_class=10)
    other = labelled_functions(store, ["language"], seed=2, per_class=10)
    np.testing.assert_array_equal(alone.labels, beside.labels[1:])
    assert [f.rows_sha256 for f in alone.functions] == [f.rows_sha256 for f in beside.functions[1:]]
    assert (alone.labels != other.labels).any()
    assert all(f.n_positive == f.n_negative == 10 and f.n_left_out == 100 for f in alone.functions)
    assert len(alone.few) == 3


def test_sub_functions_keep_to_the_rows_of_their_value_and_belong_to_their_group(tmp_path):
    n = 60 * LENGTH
    document = np.arange(n) // LENGTH
    labels = {
        "sense": document % 2,
        "word": (document // 2) % 3,
        "function": np.where((document // 2) % 3 == 2, 1, 0),
    }
    store = write_store(
        tmp_path / "store",
        {SITE: np.random.default_rng(0).standard_normal((n, 4))},
        {name: label.astype(np.int64) for name, label in labels.items()},
        label_values={"word": ["bank", "bat", "add"], "function": ["semantic", "arithmetic"]},
    )
    found = labelled_functions(store, ["sense"], within="word", group="function")
    assert [(f.name, f.group) for f in found.functions] == [
        *(("bank", "semantic"), ("bat", "semantic"), ("add", "arithmetic"))
    ]
    for i, labels_of_one in enumerate(found.labels):
        inside = np.flatnonzero(labels_of_one >= 0)
        assert ((inside // 2) % 3 == i).all() and len(inside) == 20
        np.testing.assert_array_equal(labels_of_one[inside], inside % 2)
    with pytest.raises(BadInput, match="'bank' must belong to one 'sense'"):
        labelled_functions(store, ["function"], within="word", group="sense")


def test_a_label_on_a_span_pools_over_the_span(tmp_path):
    n = 40 * LENGTH
    rows = np.arange(n)
    answer = np.where(rows % LENGTH == 3, (rows // LENGTH) % 2, -1)
    values = np.random.default_rng(0).standard_normal((n, 6))
    store = write_store(tmp_path / "s", {SITE: values}, {"answer": answer, "whole": rows * 0})
    functions = labelled_functions(store, ["answer"])
    found = pooled_values(store, SITE, functions.row_of, n_rows=40, kind="max", units=slice(0, 6))
    np.testing.assert_array_equal(found, values[3::LENGTH].astype(np.float32))
    with pytest.raises(BadInput, match="label 'whole' has the value '0' only"):
        labelled_functions(store, ["whole"])


def test_labels_on_different_tokens_of_a_document_pool_over_their_own(tmp_path):
    n = 40 * LENGTH
    rows = np.arange(n)
    document = rows // LENGTH
    labels = {
        "a": np.where(rows % LENGTH == 1, document % 2, -1),
        "b": np.where(rows % LENGTH >= 3, document % 2, -1),
    }
    values = np.random.default_rng(0).standard_normal((n, 3))
    store = write_store(tmp_path / "s", {SITE: values}, labels)
    functions = labelled_functions(store, ["a", "b"])
    assert functions.n_rows == 80
    found = pooled_values(store, SITE, functions.row_of, n_rows=80, kind="max", units=slice(0, 3))
    by_document = values.reshape(40, LENGTH, 3).astype(np.float32)
    np.testing.assert_array_equal(found[:40], by_document[:, 1])
    np.testing.assert_array_equal(found[40:], by_document[:, 3:].max(axis=1))
    assert (functions.labels[0, 40:] == -1).all() and (functions.labels[1, :40] == -1).all()


def test_a_baseline_is_scored_on_the_same_rows_and_refused_on_another_text(store, tmp_path):
    same = planted_store(tmp_path / "same", model_hash="ee" * 32)
    found = score_neurons(
        store, site=SITE, labels=["answer"], n_permutations=2, baselines={"other": same}
    )
    np.testing.assert_array_equal(found.baseline["other"], found.score)
    assert found.baseline_models == {"other": "ee" * 32}
    foreign = planted_store(tmp_path / "foreign", corpus_hash="00" * 32)
    with pytest.raises(Mismatch, match="has another text than"):
        score_neurons(store, site=SITE, labels=["answer"], baselines={"x": foreign})


def test_heads_are_judged_by_their_norms(tmp_path):
    n = 80 * LENGTH
    answer = (np.arange(n) // LENGTH) % 2
    z = np.random.default_rng(0).standard_normal((n, 3, 4))
    z[:, 1] *= np.where(answer == 1, 9, 1)[:, None]
    store = write_store(tmp_path / "s", {"blocks.0.attn.hook_z": z}, {"answer": answer})
    found = score_neurons(
        store,
        site="blocks.0.attn.hook_z",
        labels=["answer"],
        pool="mean",
        n_permutations=20,
        transform=head_norms,
        units="heads",
    )
    assert found.n_units == 3 and found.units == "heads"
    assert found.score[0].argmax() == 1 and found.score[0, 1] > 0.99
    flat = score_neurons(store, site="blocks.0.attn.hook_z", labels=["answer"], n_permutations=2)
    assert flat.n_units == 12


def test_shuffled_labels_score_at_the_base_rate(tmp_path):
    n = 200 * LENGTH
    rng = np.random.default_rng(6)
    noise = np.repeat(rng.permutation(np.arange(200) % 2), LENGTH)
    store = write_store(tmp_path / "s", {SITE: rng.standard_normal((n, 300))}, {"noise": noise})
    found = score_neurons(store, site=SITE, labels=["noise"], n_permutations=60)
    # 0.035 is the spread of one unit's average precision on 200 balanced rows.
    assert abs(found.ap_positive.mean() - found.expected[0]) < 4 * 0.035 / np.sqrt(300)
    assert found.p_best()[0] > 0.02
    assert not found.specialised().any()


def test_wrong_questions_get_one_line(store):
    for labels, said in (
        (["absent"], "has no label 'absent': it has answer, language, kind"),
        ([], "no label"),
    ):
        with pytest.raises(BadInput, match=said):
            score_neurons(store, site=SITE, labels=labels)
    with pytest.raises(BadInput, match="has no site"):
        score_neurons(store, site="blocks.9", labels=["answer"])
    with pytest.raises(BadInput, match="name them by --within"):
        score_neurons(store, site=SITE, labels=["answer"], group="language")


def test_a_value_that_is_not_finite_is_named(tmp_path):
    values = np.zeros((20 * LENGTH, 3))
    values[33, 1] = np.nan
    answer = (np.arange(len(values)) // LENGTH) % 2
    store = write_store(tmp_path / "s", {SITE: values}, {"answer": answer})
    with pytest.raises(BadInput, match="row 33, unit 1"):
        score_neurons(store, site=SITE, labels=["answer"])


def test_a_transform_gives_the_units(store):
    def doubled(rows: torch.Tensor) -> torch.Tensor:
        return rows[:, :10] * 2

    found = score_neurons(store, site=SITE, labels=["answer"], n_permutations=5, transform=doubled)
    plain = score_neurons(store, site=SITE, labels=["answer"], n_permutations=5)
    assert found.n_units == 10 < N_UNITS
    np.testing.assert_array_equal(found.score, plain.score[:, :10])
