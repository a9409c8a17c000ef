"""Rank stability, agreement of partitions, settling and the monitor, on cases known by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from interp.modules.emergence.curves import random_partitions
from interp.modules.emergence.monitor import advise, agreement_ratio
from interp.modules.emergence.partition_change import agreement_between, agreement_of_starts
from interp.modules.emergence.rank_stability import expert_means, expert_stability, spearman
from interp.modules.emergence.settling import (
    settled_at_least,
    settled_at_most,
    settled_near_last,
)


def _scores(functions: int, neurons: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((functions, neurons))


def test_stability_of_a_checkpoint_with_itself_is_1_and_with_its_reverse_minus_1() -> None:
    scores = _scores(3, 20)
    np.testing.assert_allclose(spearman(scores, scores), 1.0, atol=1e-12)
    np.testing.assert_allclose(spearman(scores, -scores), -1.0, atol=1e-12)


def test_spearman_is_the_correlation_of_scipys_ranks_with_ties() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 4, (5, 30)).astype(float), rng.integers(0, 4, (5, 30)).astype(float)
    expected = [np.corrcoef(rankdata(x), rankdata(y))[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, atol=1e-12)


def test_a_function_whose_neurons_all_score_the_same_has_no_rank_correlation() -> None:
    scores = _scores(2, 10)
    scores[1] = 0.5
    found = spearman(scores, scores)
    assert found[0] == pytest.approx(1.0) and np.isnan(found[1])


def test_expert_means_are_means_over_members() -> None:
    labels = np.array([0, 1, 0, 1, 2, 2], dtype=np.int32)
    found = expert_means(np.arange(12.0).reshape(2, 6), labels)
    np.testing.assert_allclose(found, [[1.0, 2.0, 4.5], [7.0, 8.0, 10.5]])


def test_experts_that_keep_their_mean_are_stable_where_neurons_are_not() -> None:
    # Within experts the neurons are shuffled; the means of experts stay.
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), 16).astype(np.int32)
    before = labels / 8 + rng.random((1, 128))
    after = np.concatenate([rng.permutation(before[0, labels == e]) for e in range(8)])[None]
    expert = expert_stability(before, after, labels[None])
    random = expert_stability(before, after, random_partitions(128, 8, draws=50, seed=0))
    assert expert.shape == (1, 1) and random.shape == (50, 1)
    assert expert[0, 0] == pytest.approx(1.0)
    assert spearman(before, after)[0] < 0.95
    assert random.mean() < 0.95


def test_stability_does_not_depend_on_the_numbers_of_experts_or_the_order_of_neurons() -> None:
    before, after = _scores(2, 24), _scores(2, 24, seed=1)
    labels = random_partitions(24, 4, draws=3, seed=0)
    expected = expert_stability(before, after, labels)
    np.testing.assert_allclose(expert_stability(before, after, 3 - labels), expected)
    order = np.random.default_rng(0).permutation(24)
    moved = expert_stability(before[:, order], after[:, order], labels[:, order])
    np.testing.assert_allclose(moved, expected)


def test_random_partitions_are_balanced_and_agree_with_each_other_by_chance() -> None:
    labels = random_partitions(256, 16, draws=50, seed=0)
    assert all((np.bincount(row) == 16).all() for row in labels)
    found = agreement_of_starts(labels, np.ones(256, bool))
    assert abs(found.ari) < 0.05
    assert found.nmi > 0.1  # not corrected for chance: read beside its floor


def test_agreement_ignores_names_and_dead_neurons() -> None:
    labels = random_partitions(64, 4, draws=1, seed=0)
    live = np.ones(64, bool)
    live[:10] = False
    renamed = 3 - labels
    renamed[:, :10] = np.random.default_rng(0).integers(0, 4, (1, 10))
    assert agreement_between(labels, renamed, live) == (1.0, 1.0)
    assert agreement_between(labels, renamed, np.ones(64, bool)).ari < 1.0
    assert np.isnan(agreement_between(labels, renamed, np.zeros(64, bool)).ari)
    assert np.isnan(agreement_of_starts(labels, live).ari)


def test_a_curve_settles_where_it_last_enters_its_bound() -> None:
    steps, values = [0, 10, 20, 30], np.array([0.95, 0.5, 0.92, 0.99])
    assert settled_at_least(steps, values, np.full(4, 0.9)) == 20
    assert settled_at_least(steps, values, np.full(4, 0.995)) is None
    assert settled_at_most(steps, 1 - values, np.full(4, 0.1)) == 20
    assert settled_near_last(steps, values, 0.1) == 20
    assert settled_near_last(steps, np.array([0.0, 0.3, 0.6, 1.0]), 0.1) is None
    assert settled_near_last(steps, np.ones(4), 0.1) == 0
    assert settled_at_least(steps, np.full(4, np.nan), np.zeros(4)) is None


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_from_the_step_found_on_no_value_leaves_the_bound(values: list[float]) -> None:
    steps, curve = list(range(len(values))), np.array(values)
    found = settled_at_least(steps, curve, np.full(len(values), 0.5))
    if found is None:
        assert curve[-1] < 0.5
    else:
        assert (curve[found:] >= 0.5).all()
        assert found == 0 or curve[found - 1] < 0.5


def test_the_monitor_goes_sparse_after_two_stable_pairs_and_back_after_as_long() -> None:
    steps = [0, 10, 20, 30, 40, 50, 100, 1000]
    n = len(steps) - 1
    stable, agreed, active = np.full(n, 0.95), np.full(n, 0.8), np.full(n, 0.1)
    found = advise(steps, stable, agreed, active)
    assert found == ("dense", "sparse", "sparse", "dense", "dense", "sparse", "dense")
    moving = stable.copy()
    moving[1] = 0.5
    assert advise(steps, moving, agreed, active)[:4] == ("dense", "dense", "dense", "sparse")
    assert set(advise(steps, stable, agreed, np.full(n, 0.4))) == {"dense"}


def test_where_starts_disagree_the_monitor_cannot_tell() -> None:
    steps = [0, 10, 20, 30]
    ones = np.ones(3)
    assert set(advise(steps, ones, np.full(3, 0.09), 0.1 * ones)) == {"cannot tell"}
    assert set(advise(steps, ones, np.full(3, np.nan), 0.1 * ones)) == {"cannot tell"}


def test_the_ratio_is_a_mean_over_layers_that_have_a_ceiling() -> None:
    ari = np.array([[0.4, 0.3], [0.2, 0.1], [np.nan, 0.5]])
    ceiling = np.array([[0.8, 0.6], [0.2, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(agreement_ratio(ari, ceiling), [0.75, 0.75])
    assert np.isnan(agreement_ratio(ari[:1], np.zeros((1, 2)))).all()
