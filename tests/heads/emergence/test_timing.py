"""Change points, lags and co-movement: planted jumps are found, and nothing where nothing is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.emergence.change import fit_changes, levels_around
from interp.heads.emergence.curve import Curve, Resampling, mean_curve
from interp.heads.emergence.timing import change_point, co_movement, lag_between

STEPS = tuple(int(s) for s in np.geomspace(10, 10_000, 20))


def jump(at: int, *, seed: int, n: int = 60, noise: float = 0.3, sample: str = "sequences"):
    rng = np.random.default_rng(seed)
    mean = np.where(np.arange(len(STEPS)) >= at, 0.9, 0.1)
    return mean_curve(f"jump {at}", sample, mean[:, None] + noise * rng.normal(size=(20, n)))


@pytest.mark.parametrize("at", [2, 7, 13, 18])
def test_a_planted_jump_is_found_with_its_levels(at: int) -> None:
    found = change_point(jump(at, seed=at), STEPS, Resampling(draws=200, seed=0))
    assert found.kind == "change"
    assert (found.step_before, found.step_after) == (STEPS[at - 1], STEPS[at])
    assert found.low == found.high == STEPS[at]
    assert found.before == pytest.approx(0.1, abs=0.1)
    assert found.after == pytest.approx(0.9, abs=0.1)
    assert found.share_change == 1


def test_noise_around_one_level_is_seldom_a_change() -> None:
    curves = np.random.default_rng(0).normal(size=(500, 20))
    kinds = fit_changes(curves).kinds()
    assert kinds.count("change") < 50


def test_a_jump_that_a_drift_beats_is_told_apart() -> None:
    rng = np.random.default_rng(1)
    curves = np.linspace(0, 1, 20) + 0.05 * rng.normal(size=(200, 20))
    assert fit_changes(curves).drifts().all()
    steep = np.where(np.arange(20) > 8, 1.0, 0.0) + 0.05 * rng.normal(size=(200, 20))
    assert not fit_changes(steep).drifts().any()


def test_a_curve_that_does_not_move_has_no_change() -> None:
    assert fit_changes(np.full((1, 9), 0.25)).kinds() == ["none"]
    assert fit_changes(np.zeros((1, 9))).kinds() == ["none"]


@given(st.integers(0, 10_000), st.integers(4, 15))
def test_the_jump_is_that_of_an_exhaustive_search(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=n) + 5
    left = {
        at: sum(float(np.square(side - side.mean()).sum()) for side in (values[:at], values[at:]))
        for at in range(2, n - 1)
    }
    fits = fit_changes(values[None])
    assert fits.at[0] == min(left, key=lambda at: left[at])
    bic = n * np.log(min(left.values()) / n) + 5 * np.log(n)
    assert fits.bic[0, 2] == pytest.approx(bic)
    slope, level = np.polyfit(np.arange(n), values, 1)
    drift = np.square(values - slope * np.arange(n) - level).sum()
    assert fits.bic[0, 1] == pytest.approx(n * np.log(drift / n) + 3 * np.log(n))


@given(st.integers(0, 10_000))
def test_scale_and_level_of_a_curve_change_nothing(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(1, 12))
    one, other = fit_changes(values), fit_changes(values * 100 - 3)
    assert (one.at == other.at).all()
    assert one.kinds() == other.kinds()


def test_missing_checkpoints_are_left_out_of_the_fit() -> None:
    values = np.where(np.arange(12) >= 6, 1.0, 0.0) + 0.01 * np.sin(np.arange(12) * 3)
    holed = values.copy()
    holed[[2, 6]] = np.nan
    fits = fit_changes(np.stack([values, holed]))
    assert fits.at.tolist() == [6, 7]
    assert levels_around(holed, 7)[1] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fewer_than_four_checkpoints_are_too_short(n: int) -> None:
    fits = fit_changes(np.arange(n, dtype=float)[None])
    assert fits.kinds() == ["too short"]
    point = change_point(
        mean_curve("a", "s", np.ones((n, 4))), STEPS[:n], Resampling(draws=5, seed=0)
    )
    assert point.step_after is None


def test_a_planted_lag_is_found_with_its_sign() -> None:
    draws = Resampling(draws=200, seed=0)
    lag = lag_between(jump(11, seed=1), jump(8, seed=2, sample="prompts"), STEPS, draws)
    assert (lag.checkpoints, lag.low, lag.high) == (3, 3, 3)
    assert lag.steps == STEPS[11] - STEPS[8]
    assert lag_between(jump(8, seed=2), jump(11, seed=1), STEPS, draws).checkpoints == -3


def test_there_is_no_lag_to_a_curve_without_a_change() -> None:
    flat = mean_curve("flat", "sequences", np.random.default_rng(0).normal(size=(20, 60)))
    lag = lag_between(jump(11, seed=1), flat, STEPS, Resampling(draws=50, seed=0))
    assert lag.checkpoints is None and lag.low is None and lag.steps is None


def test_the_interval_widens_where_sequences_change_at_different_checkpoints() -> None:
    rng = np.random.default_rng(3)
    when = rng.integers(5, 15, size=30)
    values = (np.arange(20)[:, None] >= when).astype(float)
    found = change_point(
        mean_curve("mixed", "sequences", values), STEPS, Resampling(draws=300, seed=0)
    )
    assert found.low is not None and found.high is not None
    assert found.low < found.high


def test_curves_of_one_sample_are_resampled_alike_in_any_order() -> None:
    a, b = jump(8, seed=1), jump(8, seed=1)
    one, other = Resampling(draws=20, seed=4), Resampling(draws=20, seed=4)
    first = one.of(a)
    other.of(jump(3, seed=9, n=7, sample="prompts"))
    assert np.array_equal(first, other.of(b))
    assert not np.array_equal(first, Resampling(draws=20, seed=5).of(a))


def test_a_curve_is_a_ratio_of_sums_and_nan_where_nothing_counts() -> None:
    curve = Curve(
        name="ratio", sample="s",
        part=np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]),
        whole=np.array([[2.0, 2.0, 0.0], [0.0, 0.0, 0.0]]),
    )  # fmt: skip
    values = curve.values()
    assert values[0] == 0.75
    assert np.isnan(values[1])


def test_the_same_curve_moves_with_itself_and_shifted_ones_have_uniform_p() -> None:
    rng = np.random.default_rng(0)
    same = np.cumsum(rng.normal(size=41))
    rho, p, shifts = co_movement(same, same)
    assert (rho, p, shifts) == (pytest.approx(1.0), 1 / 40, 40)
    p_values = [co_movement(*rng.normal(size=(2, 21)))[1] for _ in range(400)]
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)
    assert np.mean(np.array(p_values) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_a_curve_that_does_not_move_has_no_co_movement() -> None:
    assert np.isnan(co_movement(np.zeros(9), np.arange(9.0))[0])
