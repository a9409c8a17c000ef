from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from interp.results.significance import (
    benjamini_hochberg,
    holm,
    mcnemar,
    paired_t,
    sign_flip,
    smallest_mcnemar_p,
)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_two_sided_binomial_test(b: int, c: int) -> None:
    expected = stats.binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected)


def test_five_discordant_items_cannot_reach_five_per_cent() -> None:
    assert mcnemar(5, 0) == 0.0625
    assert mcnemar(6, 0) < 0.05


def test_holm_multiplies_the_smallest_most_and_never_reorders() -> None:
    adjusted = holm(np.array([0.04, 0.01, 0.03]))
    assert adjusted == pytest.approx([0.06, 0.03, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_order_and_stays_between_p_and_bonferroni(values: list[float]) -> None:
    p = np.array(values)
    adjusted = holm(p)
    assert np.all(adjusted >= p - 1e-15)
    assert np.all(adjusted <= np.minimum(p * len(p), 1) + 1e-15)
    assert np.all(np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0)


@given(st.integers(0, 40))
def test_no_outcome_of_so_many_discordant_items_goes_below_the_smallest_p(n: int) -> None:
    assert smallest_mcnemar_p(n) == pytest.approx(min(mcnemar(k, n - k) for k in range(n + 1)))


def test_benjamini_hochberg_worked_out_by_hand() -> None:
    # .01·4/1, .02·4/2, .03·4/3, .5·4/4, and no smaller p may be adjusted above a larger one.
    assert benjamini_hochberg(np.array([0.5, 0.01, 0.03, 0.02])) == pytest.approx(
        [0.5, 0.04, 0.04, 0.04]
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_hochberg_agrees_with_scipy_and_is_never_above_holm(values: list[float]) -> None:
    p = np.array(values)
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)
    assert np.all(benjamini_hochberg(p) <= holm(p) + 1e-12)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=7))
def test_sign_flip_is_the_share_of_all_sign_patterns_as_extreme(values: list[int]) -> None:
    seen = abs(sum(values))
    patterns = list(product([1, -1], repeat=len(values)))
    as_extreme = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) >= seen
                  for signs in patterns]  # fmt: skip
    # Divided by seven, sums of equal patterns differ in their last bits.
    assert sign_flip(np.array(values) / 7) == pytest.approx(np.mean(as_extreme))


def test_paired_t_agrees_with_scipy() -> None:
    for row in np.random.default_rng(0).normal(size=(5, 6)):
        assert paired_t(row) == pytest.approx(stats.ttest_1samp(row, 0.0)[1])


def test_where_no_t_test_can_be_made_there_is_no_p() -> None:
    assert paired_t(np.zeros(4)) == 1.0
    assert np.isnan(paired_t(np.array([0.3])))
    assert np.isnan(paired_t(np.empty(0)))
    # The same difference three times, but for its last bits.
    assert np.isnan(paired_t(np.array([0.1, 0.4 - 0.3, 0.3 - 0.2])))


def test_five_seeds_that_agree_cannot_reach_five_per_cent_and_six_can() -> None:
    assert sign_flip(np.full(5, 0.1)) == 0.0625
    assert sign_flip(np.full(6, 0.1)) == 0.03125


def test_sign_flip_agrees_with_scipys_paired_permutation() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, size=10)
    theirs = stats.permutation_test(
        (differences, np.zeros(10)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=100_000,
    )
    assert sign_flip(differences) == pytest.approx(theirs.pvalue)


def test_without_any_difference_nothing_is_significant() -> None:
    assert sign_flip(np.zeros(4)) == sign_flip(np.empty(0)) == 1.0


def test_sign_flip_refuses_what_it_cannot_count() -> None:
    with pytest.raises(ValueError, match="up to 20 numbers, got 21"):
        sign_flip(np.ones(21))
    with pytest.raises(ValueError, match="NaN"):
        sign_flip(np.array([1.0, np.nan]))
