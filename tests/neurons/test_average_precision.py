"""Average precision: scikit-learn is the oracle, and ties must not see the order of rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from interp.neurons import ranking
from interp.neurons.average_precision import AveragePrecision, average_precision
from interp.results.errors import BadInput

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tied_scores(n_rows: int, n_units: int, *, levels: int, seed: int) -> torch.Tensor:
    """Integers around 0, so that most rows share a score."""
    drawn = torch.randint(levels, (n_rows, n_units), generator=generator(seed))
    return (drawn - levels // 2).float()


def labels_with_both(n_functions: int, n_rows: int, *, seed: int, low: int = -1) -> torch.Tensor:
    drawn = torch.randint(low, 2, (n_functions, n_rows), generator=generator(seed))
    drawn[:, 0], drawn[:, 1] = 0, 1
    return drawn.to(torch.int8)


def by_sklearn(scores: torch.Tensor, labels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    found = np.empty((2, len(labels), scores.shape[1]))
    for function, row in enumerate(labels):
        part = row >= 0
        for unit in range(scores.shape[1]):
            score, label = scores[part, unit].double().numpy(), row[part].numpy()
            found[0, function, unit] = average_precision_score(label, score)
            found[1, function, unit] = average_precision_score(1 - label, score)
    return found[0], found[1]


def close(found: AveragePrecision, expected: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(found.positive.numpy(), expected[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.negative.numpy(), expected[1], rtol=0, atol=1e-12)


@settings(max_examples=40)
@given(
    n_rows=st.integers(2, 70),
    n_functions=st.integers(1, 9),
    levels=st.integers(1, 40),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 10_000),
)
def test_equals_scikit_learn_with_ties_and_rows_left_out(n_rows, n_functions, levels, dtype, seed):
    scores = tied_scores(n_rows, 3, levels=levels, seed=seed).to(dtype)
    labels = labels_with_both(n_functions, n_rows, seed=seed)
    close(average_precision(scores, labels), by_sklearn(scores, labels))


def test_more_rows_than_a_block_or_a_16_bit_count_equal_scikit_learn():
    n_rows = (1 << 16) + 11
    scores = torch.nn.functional.hardshrink(torch.randn(n_rows, 2, generator=generator(0)))
    labels = labels_with_both(3, n_rows, seed=1)
    labels[2] = (torch.rand(n_rows, generator=generator(2)) < 0.99).to(torch.int8)
    close(average_precision(scores, labels), by_sklearn(scores, labels))


def test_one_label_among_many_rows_equals_scikit_learn():
    scores = tied_scores(500, 4, levels=9, seed=3)
    labels = torch.zeros(1, 500, dtype=torch.bool)
    labels[0, 77] = True
    close(average_precision(scores, labels), by_sklearn(scores, labels))


def test_scores_of_either_sign_of_zero_infinity_and_the_smallest_float_rank_as_floats_do():
    column = torch.tensor([0.0, -0.0, 1e-45, -1e-45, float("inf"), -float("inf"), 1.0, -1.0])
    labels = labels_with_both(20, len(column), seed=4, low=0)
    finite = torch.argsort(torch.argsort(column.unique())).float()
    ranks = finite[torch.searchsorted(column.unique(), column)]
    found, expected = (average_precision(c[:, None], labels) for c in (column, ranks))
    assert torch.equal(found.positive, expected.positive)
    close(found, by_sklearn(ranks[:, None], labels))


@given(seed=st.integers(0, 10_000))
def test_the_order_of_rows_and_of_units_changes_nothing(seed):
    scores, labels = tied_scores(60, 5, levels=6, seed=seed), labels_with_both(3, 60, seed=seed)
    rows = torch.randperm(60, generator=generator(seed))
    units = torch.randperm(5, generator=generator(seed))
    found, moved = (
        average_precision(scores, labels),
        average_precision(scores[rows], labels[:, rows]),
    )
    assert torch.equal(found.positive, moved.positive)
    assert torch.equal(found.negative, moved.negative)
    renamed = average_precision(scores[:, units], labels)
    assert torch.equal(found.positive[:, units], renamed.positive)


def test_a_strictly_increasing_map_of_the_scores_changes_nothing():
    scores, labels = torch.randn(300, 4, generator=generator(5)), labels_with_both(3, 300, seed=5)
    found = average_precision(scores, labels)
    mapped = average_precision(scores.double().exp() * 7 + 3, labels)
    assert torch.equal(found.positive, mapped.positive)
    assert torch.equal(found.negative, mapped.negative)


def test_a_planted_detector_has_one_and_its_opposite_has_it_with_the_other_sign():
    labels = labels_with_both(1, 400, seed=6, low=0)
    noise = 0.4 * torch.rand(400, generator=generator(6))
    detector = labels[0] + noise
    found = average_precision(torch.stack([detector, -detector], dim=1), labels)
    assert found.positive[0, 0] == 1.0
    assert found.negative[0, 1] == 1.0
    assert found.positive[0, 1] < 0.5


def test_a_constant_unit_has_the_prevalence():
    labels = labels_with_both(4, 250, seed=7)
    found = average_precision(torch.full((250, 1), 3.0), labels)
    for row, positive, negative in zip(labels, found.positive, found.negative, strict=True):
        prevalence = int((row == 1).sum()) / int((row >= 0).sum())
        assert positive.item() == pytest.approx(prevalence, abs=1e-12)
        assert negative.item() == pytest.approx(1 - prevalence, abs=1e-12)


@pytest.mark.parametrize("n_rows", [40, (1 << 16) + 3])
def test_units_in_any_chunks_and_threads_give_the_same_bits(n_rows):
    scores, labels = tied_scores(n_rows, 7, levels=50, seed=8), labels_with_both(5, n_rows, seed=8)
    whole = average_precision(scores, labels)
    parts = [average_precision(scores[:, i : i + 1], labels) for i in range(7)]
    for name in AveragePrecision._fields:
        found = torch.cat([getattr(part, name) for part in parts], dim=1)
        assert torch.equal(getattr(whole, name), found)
        chunked = average_precision(scores, labels, units_at_once=3)
        assert torch.equal(getattr(whole, name), getattr(chunked, name))


def test_nothing_is_edited():
    scores, labels = tied_scores(30, 2, levels=4, seed=9), labels_with_both(2, 30, seed=9)
    kept = scores.clone(), labels.clone()
    average_precision(scores, labels)
    assert torch.equal(scores, kept[0])
    assert torch.equal(labels, kept[1])


@pytest.mark.parametrize("value", [0, 1, -1])
def test_a_function_of_one_class_is_refused_by_its_number(value):
    labels = labels_with_both(3, 20, seed=10)
    labels[1] = value
    with pytest.raises(BadInput, match="function 1 has .* rows with its label and .* without"):
        average_precision(torch.zeros(20, 1), labels)


def test_a_nan_score_is_refused():
    scores = torch.zeros(20, 2)
    scores[3, 1] = float("nan")
    with pytest.raises(BadInput, match="NaN"):
        average_precision(scores, labels_with_both(1, 20, seed=11))


def test_a_ranking_marks_every_group_of_equal_scores_once():
    found = ranking.rank_rows(np.array([[1.0, 2.0, 1.0], [0.0, -0.0, 5.0]], np.float32))
    assert found.size.tolist() == [1, 2, 1, 2]
    assert found.depth.tolist() == [1, 3, 1, 3]
    assert found.first_group.tolist() == [0, 2]
