"""p of heads against draws of their null, one by one and as a family."""

import numpy as np
import pytest

from interp.heads.significance import (
    adjusted_by_size,
    relabelled_means,
    sequence_bootstrap,
    significance,
    smallest_p,
)


def chance(seed: int, *, draws: int = 199) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 10, (2, 4, 1))
    return rng.standard_normal((2, 4, 1)) * scale, rng.standard_normal((draws, 2, 4, 1)) * scale


def test_a_head_far_above_its_null_is_found_and_the_others_are_not() -> None:
    observed, draws = chance(0)
    observed[1, 2, 0] = 10 * np.abs(draws[:, 1, 2]).max()
    found = significance(observed, draws)
    assert found.p_adj[1, 2, 0] == pytest.approx(1 / 200)
    assert (np.delete(found.p_adj.ravel(), 6) > 0.05).all()


def test_family_wise_p_agrees_with_a_double_loop() -> None:
    observed, draws = chance(1)
    found = significance(observed, draws)
    pool = np.concatenate([observed[None], draws])
    z = (pool - pool.mean(axis=0)) / pool.std(axis=0)
    for index in np.ndindex(observed.shape):
        at_least = sum(z[1 + b].max() >= z[0][index] for b in range(len(draws)))
        assert found.p_adj[index] == pytest.approx((1 + at_least) / (1 + len(draws)))
        alone = sum(z[1 + b][index] >= z[0][index] for b in range(len(draws)))
        assert found.p[index] == pytest.approx((1 + alone) / (1 + len(draws)))


def test_by_chance_one_family_in_twenty_has_a_head() -> None:
    n = 400
    families = [significance(*chance(seed)).p_adj.min() <= 0.05 for seed in range(n)]
    assert np.mean(families) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean(families) > 0.01


def test_a_head_that_never_varies_is_not_significant() -> None:
    observed, draws = chance(2)
    observed[0, 0, 0] = 0.1 + 1e-9
    draws[:, 0, 0] = 0.1
    found = significance(observed, draws)
    assert (found.z[0, 0, 0], found.p[0, 0, 0], found.p_adj[0, 0, 0]) == (0, 1, 1)


def test_a_head_that_was_not_tested_stays_so_and_counts_in_no_family() -> None:
    observed, draws = chance(3)
    observed[0, 1, 0], draws[:, 0, 1] = np.nan, np.nan
    found = significance(observed, draws)
    assert np.isnan([a[0, 1, 0] for a in (found.z, found.p, found.p_adj, found.q)]).all()
    others = np.delete(np.arange(8), 1)
    alone = significance(
        observed.reshape(1, 8, 1)[:, others], draws.reshape(-1, 1, 8, 1)[:, :, others]
    )
    np.testing.assert_allclose(alone.p_adj.ravel(), found.p_adj.ravel()[others])


def test_relabelled_means_pick_one_label_a_sequence_for_all_units() -> None:
    rng = np.random.default_rng(0)
    values = np.zeros((5, 3, 2))
    values[:, 1] = 1.0
    values[:, :, 1] = 10 * values[:, :, 0]
    means = relabelled_means(values, draws=2000, rng=rng)
    np.testing.assert_allclose(means[:, 1], 10 * means[:, 0])
    assert set(np.round(5 * means[:, 0]).tolist()) <= set(range(6))
    assert means[:, 0].mean() == pytest.approx(1 / 3, abs=0.02)


def test_the_bootstrap_of_a_weighted_mean_is_that_of_the_ratio_of_sums() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 9, (300, 1)).astype(float)
    sums = counts * rng.normal(2.0, 1.0, (300, 1))
    low, high = sequence_bootstrap(sums, draws=500, rng=rng, weights=counts)[:, 0]
    assert low < sums.sum() / counts.sum() < high
    assert high - low == pytest.approx(2 * 1.96 * 1.15 / np.sqrt(300), rel=0.25)


def test_one_sequence_has_no_interval() -> None:
    assert np.isnan(
        sequence_bootstrap(np.ones((1, 2)), draws=10, rng=np.random.default_rng(0))
    ).all()


def test_what_no_float_can_measure_is_not_significant() -> None:
    observed, draws = np.zeros((1, 2, 1)), np.zeros((99, 1, 2, 1))
    observed[0, 0, 0], observed[0, 1, 0] = 4e-11, 1e-4
    found = significance(observed, draws)
    assert found.p_adj.ravel().tolist() == [1.0, 0.01]


def test_a_head_with_an_undefined_draw_is_not_tested() -> None:
    observed, draws = chance(4)
    observed[0, 3, 0], draws[7, 0, 3, 0] = 1e3, np.nan
    found = significance(observed, draws)
    assert np.isnan([a[0, 3, 0] for a in (found.z, found.p, found.p_adj, found.q)]).all()
    assert not np.isnan(np.delete(found.p_adj.ravel(), 3)).any()


@pytest.mark.parametrize("draws", [14, 19])
def test_too_few_draws_for_any_finding_are_said(draws: int) -> None:
    assert "nothing can be significant" in smallest_p(draws)["smallest_p"]


def test_a_smallest_p_close_to_the_threshold_is_said_and_one_far_below_is_not() -> None:
    assert "close to .05; longer text would" in smallest_p(20, more="longer text")["smallest_p"]
    assert smallest_p(100) == {}


def test_one_head_of_many_is_found_by_its_size_with_twenty_draws_and_not_by_its_z() -> None:
    rng = np.random.default_rng(0)
    by_size, by_z = [], []
    for _ in range(10):
        observed, draws = np.split(0.02 * rng.standard_t(2, (21, 12, 12, 1)), [1])
        observed, draws[:, 5, 5] = observed[0], rng.standard_normal((20, 1))
        observed[5, 5, 0] = 8
        by_size.append(adjusted_by_size(observed, draws)[5, 5, 0] < 0.05)
        by_z.append(significance(observed, draws).p_adj[5, 5, 0] < 0.05)
    assert np.mean(by_size) == 1 and np.mean(by_z) <= 0.2


def test_p_by_size_holds_for_the_family_and_leaves_out_the_untested() -> None:
    families = []
    for seed in range(300):
        observed, draws = chance(seed, draws=99)
        observed[0, 0, 0] = np.nan
        adjusted = adjusted_by_size(observed, draws)
        assert np.isnan(adjusted[0, 0, 0])
        families.append(np.nanmin(adjusted) <= 0.05)
    assert 0.01 < np.mean(families) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
