"""Means, intervals and p of effects, against loops and known truths."""

import numpy as np
from scipy.stats import rankdata

from interp.heads.ablation.events import asked_events
from interp.heads.ablation.statistics import (
    Sequences,
    p_of_groups,
    rank_correlation,
    with_ends,
)
from tests.heads.ablation.making import facts

EVENTS = asked_events(facts(12), per_triplet=1, seed=0)


def test_a_resample_is_the_mean_of_the_documents_drawn() -> None:
    sequences = Sequences(facts(12), EVENTS)
    values = np.random.default_rng(1).normal(size=(2, len(EVENTS)))
    totals = sequences.totals(values)
    times = sequences.resamples(3, np.random.default_rng(2))
    drawn = totals.drawn(times)
    assert drawn.shape == (3, 2, 3)
    for d in range(3):
        chosen = np.repeat(np.arange(12), times[d].astype(int))
        expected = totals.sums[:, chosen].sum(1) / totals.counts[chosen].sum(0)
        np.testing.assert_allclose(drawn[d], expected)


def test_each_document_drawn_once_gives_the_mean() -> None:
    sequences = Sequences(facts(12), EVENTS)
    totals = sequences.totals(np.random.default_rng(1).normal(size=len(EVENTS)))
    np.testing.assert_allclose(totals.drawn(np.ones((1, 12)))[0], totals.mean())


def test_a_value_that_does_not_vary_has_an_interval_without_width() -> None:
    assert with_ends(np.array([2.0]), np.full((9, 1), 2.0)).tolist() == [[2, 2, 2]]


def test_nothing_measured_has_no_interval() -> None:
    assert np.isnan(with_ends(np.array([np.nan]), np.full((9, 1), np.nan))).all()


def test_p_counts_random_groups_that_cost_as_much() -> None:
    random = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert p_of_groups(np.array([2.0]), random).tolist() == [3 / 5]
    assert p_of_groups(np.array([9.0]), random).tolist() == [1 / 5]
    assert np.isnan(p_of_groups(np.array([9.0]), np.zeros((0, 1)))).all()


def test_rho_is_the_correlation_of_ranks_and_nan_pairs_are_left_out() -> None:
    rng = np.random.default_rng(0)
    score, effect = rng.normal(size=(2, 20, 1))
    score[3], effect[5] = np.nan, np.nan
    both = [i for i in range(20) if i not in (3, 5)]
    found = rank_correlation(score, effect, rng=rng)
    assert found.n == 18
    ranks = [rankdata(side[both, 0]) for side in (score, effect)]
    np.testing.assert_allclose(found.rho, np.corrcoef(ranks)[0, 1])


def test_a_perfect_order_has_the_smallest_p_and_noise_a_uniform_one() -> None:
    rng = np.random.default_rng(0)
    line = np.arange(20.0)[:, None]
    best = rank_correlation(line, line**3, rng=rng, draws=999)
    assert (round(best.rho, 9), best.p) == (1.0, 1 / 1000)
    p = [rank_correlation(line, rng.normal(size=(20, 1)), rng=rng, draws=199).p for _ in range(100)]
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) < 0.05) < 0.15


def test_columns_of_a_head_change_places_together() -> None:
    """Two equal columns are no more evidence than one of them."""
    rng = np.random.default_rng(3)
    score, effect = rng.normal(size=(2, 8, 1))
    one = rank_correlation(score, effect, rng=np.random.default_rng(0), draws=4999)
    two = rank_correlation(
        np.repeat(score, 4, 1), np.repeat(effect, 4, 1), rng=np.random.default_rng(0), draws=4999
    )
    assert abs(one.p - two.p) < 0.03


def test_a_constant_score_has_no_rho() -> None:
    found = rank_correlation(np.ones((5, 1)), np.arange(5.0)[:, None], rng=np.random.default_rng(0))
    assert np.isnan(found.rho)
    assert np.isnan(found.p)
