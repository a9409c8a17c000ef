"""Labels: average precision is scikit-learn's formula, and documents are counted once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.dictionaries.views.activity import bins_of
from interp.dictionaries.views.chance import overlap_p
from interp.dictionaries.views.document_lengths import DocumentLengths, expected_documents
from interp.dictionaries.views.label_columns import LabelColumn, label_columns
from interp.dictionaries.views.labels import LabelCounts
from interp.results.errors import BadInput
from tests.dictionaries.views.drawn import batch_of, drawn


def average_precision(positive: np.ndarray, score: np.ndarray) -> float:
    """Σ (R_n − R_{n−1}) P_n over distinct scores, from the highest down."""
    total, recall = 0.0, 0.0
    for threshold in np.unique(score)[::-1]:
        chosen = score >= threshold
        new_recall = positive[chosen].sum() / positive.sum()
        total += (new_recall - recall) * positive[chosen].mean()
        recall = new_recall
    return total


def counted(data, *, of_documents=True):
    state = LabelCounts(
        data.acts.shape[1], LabelColumn(name="label", values=(0, 1, 2), of_documents=of_documents)
    )
    state.update(batch_of(data, 0, len(data.acts), around=0))
    return state.finish()


@given(seed=st.integers(0, 200))
def test_average_precision_is_that_of_the_binned_activations_and_inside_its_bounds(seed):
    data = drawn(seed, n=120, d_sae=5, share=0.4)
    found = counted(data)
    for feature, column in enumerate(data.acts.T):
        binned = np.where(column > 0, bins_of(np.ascontiguousarray(column)) // 2 + 1, 0)
        for value in range(3):
            positive = data.label == value
            if not positive.any():
                assert np.isnan(found.average_precision[feature, value])
                continue
            got = found.average_precision[feature, value]
            assert got == pytest.approx(average_precision(positive, binned))
            low, high = found.average_precision_bounds[feature, value]
            exact = average_precision(positive, column)
            assert low - 1e-9 <= exact <= high + 1e-9


def test_a_feature_that_never_fires_has_the_base_rate():
    found = counted(drawn(1))
    np.testing.assert_allclose(found.average_precision[-1], found.base_rate)
    assert (found.p_value[-1] == 1).all()


def test_a_label_of_documents_counts_each_document_once():
    data = drawn(2)
    found = counted(data)
    assert found.unit == "documents"
    for value in range(3):
        inside = data.label == value
        assert found.n[value] == len(np.unique(data.document[inside]))
        for feature, column in enumerate(data.acts.T):
            fired = np.unique(data.document[inside & (column > 0)])
            assert found.fired[feature, value] == len(fired)


def test_a_label_of_tokens_counts_rows():
    data = drawn(3, of_documents=False)
    found = counted(data, of_documents=False)
    assert found.unit == "rows"
    expected = [(data.acts[data.label == value] > 0).sum(axis=0) for value in range(3)]
    np.testing.assert_array_equal(found.fired, np.stack(expected, axis=1))


def test_labels_without_a_relation_are_rarely_told_and_planted_ones_are():
    data = drawn(4, n=3000, d_sae=60)
    data.acts[:, 7] *= data.label == 1
    found = counted(data)
    assert found.q_value[7, 1] < 1e-3
    others = np.delete(found.q_value, 7, axis=0)
    assert (others <= 0.05).mean() < 0.02


def long_documents_of_one_value(n_documents=400, d_sae=300):
    """Random features; documents of label 1 are four times as long as those of label 0."""
    rng = np.random.default_rng(5)
    label = np.arange(n_documents) % 2
    document = np.repeat(np.arange(n_documents), np.where(label == 1, 40, 10))
    n = len(document)
    fires = rng.random((n, d_sae)) < rng.choice([0.003, 0.02, 0.1], d_sae)
    return drawn(0, n=n, d_sae=d_sae)._replace(
        acts=(fires * rng.lognormal(0, 1, (n, d_sae))).astype(np.float32),
        document=document,
        label=label[document],
    )


def test_random_features_tell_no_label_whose_documents_are_longer_and_a_planted_one_does():
    data = long_documents_of_one_value()
    rng = np.random.default_rng(6)
    short = (data.label == 0) & (rng.random(len(data.label)) < 0.05)
    data.acts[:, 7] = short
    data.acts[:, 8] = (data.label == 1) & (rng.random(len(data.label)) < 0.02)
    found = counted(data)
    assert found.q_value[7, 0] < 1e-6 and found.q_value[8, 1] < 1e-6
    others = np.delete(np.arange(300), [7, 8])
    assert not (found.q_value[others] <= 0.05).any()
    assert 0.005 < (found.p_value[others][:, :2] <= 0.05).mean() < 0.06
    gap = (found.fired - found.expected)[others, 1] / np.sqrt(found.expected[others, 1])
    assert abs(gap.mean()) < 0.15


def test_bursts_in_few_documents_are_no_sign_of_a_label():
    data = long_documents_of_one_value()
    rng = np.random.default_rng(7)
    # Of every feature a firing spreads over the rest of its document.
    starts = rng.random(data.acts.shape) < 0.004
    same = np.diff(data.document, prepend=-1) == 0
    for row in range(1, len(starts)):
        starts[row] |= same[row] & starts[row - 1]
    found = counted(data._replace(acts=starts.astype(np.float32)))
    assert not (found.q_value <= 0.05).any()


@given(seed=st.integers(0, 100), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_document_lengths_are_counted_across_batches_and_parts(seed, cuts):
    rng = np.random.default_rng(seed)
    document = np.cumsum(rng.random(60) < 0.2)
    value = (document % 3).astype(np.int64)
    ends = [0, *sorted(cuts), 60]
    batches, parts = DocumentLengths(3), DocumentLengths(3)
    for start, stop in zip(ends[:-1], ends[1:], strict=True):
        batches.update(document[start:stop], value[start:stop])
        part = DocumentLengths(3)
        part.update(document[start:stop], value[start:stop])
        parts.merge(part)
    of, rows = np.unique(document, return_counts=True)
    for state in (batches, parts):
        lengths, table = state.by_value()
        np.testing.assert_array_equal(lengths, np.unique(rows))
        for index, length in enumerate(lengths):
            expected = np.bincount(of[rows == length] % 3, minlength=3)
            np.testing.assert_array_equal(table[:, index], expected)


def test_documents_of_one_length_are_expected_in_proportion_and_all_where_all_fire():
    found = expected_documents(np.array([0, 1, 30, 100]), np.array([12]), np.array([[25], [75]]))
    np.testing.assert_allclose(found, np.outer([0, 1, 30, 100], [0.25, 0.75]), rtol=2e-3)
    # A rare feature follows the rows, one that fires everywhere the documents.
    lengths, table = np.array([10, 40]), np.array([[50, 0], [0, 50]])
    rare, everywhere = expected_documents(np.array([1, 100]), lengths, table)
    np.testing.assert_allclose(rare, [0.2, 0.8], atol=0.01)
    np.testing.assert_allclose(everywhere, [50, 50], rtol=1e-3)


def test_overlap_p_errs_on_the_safe_side_of_the_hypergeometric():
    from scipy.stats import hypergeom

    for n, marked, sample in ((100, 30, 20), (1000, 10, 50), (60, 20, 30)):
        expected = marked * sample / n
        for found in range(int(expected) + 2, min(marked, sample)):
            exact = hypergeom.sf(found - 1, n, marked, sample)
            got = overlap_p(
                np.array([found]), drawn=np.array([sample]), marked=np.array([marked]), n=n
            )[0]
            assert got >= exact * (1 - 1e-9)
    nothing = overlap_p(np.array([0]), drawn=np.array([5]), marked=np.array([5]), n=10)
    assert nothing[0] == 1


def test_columns_that_name_no_values_are_left_out_with_the_reason(store):
    columns, left_out = label_columns(store, None)
    assert [(c.name, c.of_documents) for c in columns] == [("language", True), ("even", False)]
    assert left_out == {"weight": "holds fractions: expected integers that name values"}
    with pytest.raises(BadInput, match="'weight'.*fractions"):
        label_columns(store, ["weight"])
    with pytest.raises(BadInput, match="no label 'lang'.*language"):
        label_columns(store, ["lang"])
