"""Labels: average precision is scikit-learn's formula, and documents are counted once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.dictionaries.views.activity import bins_of
from interp.dictionaries.views.chance import overlap_p
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
