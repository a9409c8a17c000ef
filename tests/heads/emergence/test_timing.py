"""Change points, lags and co-movement: planted jumps are found, and nothing where nothing is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.emergence.change import fit_changes, levels_around
from interp.heads.emergence.curve import Curve, Resampling, mean_curve
from interp.heads.emergence.moving import co_movement
from interp.heads.emergence.timing import change_point, lag_between

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


def wandering(rng: np.random.Generator, memory: float, shape: tuple[int, int]) -> np.ndarray:
    """AR(1) noise of variance 1."""
    new = rng.normal(size=(shape[0], shape[1] + 50))
    noise = np.zeros_like(new)
    for step in range(1, new.shape[1]):
        noise[:, step] = memory * noise[:, step - 1] + new[:, step]
    return noise[:, 50:] * np.sqrt(1 - memory**2)


@pytest.mark.parametrize(
    ("n", "independent", "half", "strong"),
    [(7, 0.10, 0.23, 0.29), (10, 0.07, 0.22, 0.35), (20, 0.02, 0.15, 0.21), (40, 0.01, 0.06, 0.05)],
)
def test_noise_is_said_to_change_as_seldom_as_the_docstring_says(
    n: int, independent: float, half: float, strong: float
) -> None:
    rng = np.random.default_rng(0)
    for memory, quoted in ((0.0, independent), (0.5, half), (0.8, strong)):
        kinds = fit_changes(wandering(rng, memory, (1000, n))).kinds()
        assert kinds.count("change") / 1000 == pytest.approx(quoted, abs=0.04)


def test_a_drift_is_no_change_and_a_steep_rise_is_one() -> None:
    rng = np.random.default_rng(1)
    noise = 0.05 * rng.normal(size=(200, 20))
    assert set(fit_changes(np.linspace(0, 1, 20) + noise).kinds()) == {"drift"}
    for width in (1e-3, 0.7, 1.0):
        steep = 1 / (1 + np.exp(-np.clip((np.arange(20) - 8.5) / width, -50, 50)))
        assert fit_changes(steep + noise).kinds().count("change") > 195


def test_a_level_that_wanders_is_told_apart_where_checkpoints_are_many() -> None:
    curves = wandering(np.random.default_rng(2), 0.8, (300, 60))
    assert fit_changes(curves).kinds().count("wander") > 250


def test_wandering_has_the_likelihood_of_an_ar1_process() -> None:
    values = wandering(np.random.default_rng(3), 0.6, (1, 12))[0]
    n, best = 12, np.inf
    for memory in np.linspace(-0.9, 0.98, 48):
        cover = memory ** np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / (1 - memory**2)
        inverse = np.linalg.inv(cover)
        level = inverse.sum(axis=0) @ values / inverse.sum()
        squares = (values - level) @ inverse @ (values - level)
        best = min(best, n * np.log(squares / n) + np.linalg.slogdet(cover)[1])
    assert fit_changes(values[None]).bic[0, 3] == pytest.approx(best + 3 * np.log(n))


def test_a_curve_that_does_not_move_has_no_change() -> None:
    assert fit_changes(np.full((1, 9), 0.25)).kinds() == ["none"]
    assert fit_changes(np.zeros((1, 9))).kinds() == ["none"]


@given(st.integers(0, 10_000), st.integers(7, 15))
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


@pytest.mark.parametrize("n", [1, 3, 6])
def test_fewer_than_seven_checkpoints_are_too_short(n: int) -> None:
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
    when = rng.integers(7, 13, size=30)
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


def test_the_lag_has_no_interval_where_few_draws_have_a_change_in_both() -> None:
    # One document of twelve makes the change: it is in 65 of 100 draws, two such in fewer than 50.
    values = 0.01 * np.random.default_rng(5).normal(size=(2, 20, 12))
    for curve, document in zip(values, (0, 1), strict=True):
        curve[10:, document] += 1
    one, other = (mean_curve(f"c{i}", "documents", curve) for i, curve in enumerate(values))
    lag = lag_between(one, other, STEPS, Resampling(draws=300, seed=0))
    assert lag.checkpoints == 0 and lag.share_draws < 0.5
    assert lag.low is None and lag.high is None
    both = lag_between(one, one, STEPS, Resampling(draws=300, seed=0))
    assert both.share_draws > 0.5 and (both.low, both.high) == (0, 0)


def saturating(rng: np.random.Generator, pairs: int, n: int, noise: float, memory: float):
    """Curves that rise early: exponential and logistic ones, with nothing in common."""
    place = np.arange(n)
    rise = 1 - np.exp(-place / rng.uniform(1, n / 4, (pairs, 1)))
    where, width = rng.uniform(0.2 * n, 0.5 * n, (pairs, 1)), rng.uniform(0.3, 2, (pairs, 1))
    turn = 1 / (1 + np.exp(-(place - where) / width))
    curves = np.where(np.arange(pairs)[:, None] % 2, rise, turn)
    return curves + noise * wandering(rng, memory, (pairs, n))


def share_together(first: np.ndarray, second: np.ndarray) -> float:
    places = zip(fit_changes(first).at, fit_changes(second).at, strict=True)
    return float(
        np.mean(
            [
                co_movement(a, b, [int(i), int(j)]).p <= 0.05
                for a, b, (i, j) in zip(first, second, places, strict=True)
            ]
        )
    )


@pytest.mark.parametrize("n", [20, 40])
@pytest.mark.parametrize(("noise", "memory"), [(0.003, 0.0), (0.03, 0.0), (0.03, 0.8)])
def test_unrelated_curves_that_both_rise_early_are_seldom_said_to_move_together(
    n: int, noise: float, memory: float
) -> None:
    rng = np.random.default_rng(4)
    first, second = (saturating(rng, 200, n, noise, memory) for _ in range(2))
    assert share_together(first, second) <= 0.05
    # The curves as they are agree nearly always: the test is not blind to what they have in common.
    common = 2 * noise * wandering(rng, memory, (200, n))
    assert share_together(first + common, second + common) > (0.2 if n == 20 else 0.6)


def test_too_few_checkpoints_are_not_tested() -> None:
    rng = np.random.default_rng(0)
    same = rng.normal(size=20)
    assert co_movement(same, same, [10]).p < 1e-6
    assert co_movement(same, same, [10]).correlation == pytest.approx(1)
    assert np.isnan(co_movement(same[:19], same[:19], [10]).p)
    holed = np.where(np.arange(20) == 3, np.nan, same)
    assert np.isnan(co_movement(holed, same, [10]).p) and co_movement(holed, same, [10]).n == 19


def test_a_curve_of_which_nothing_is_left_has_no_co_movement() -> None:
    noise = np.random.default_rng(0).normal(size=30)
    for smooth in (np.zeros(30), np.arange(30.0), np.where(np.arange(30) >= 12, 1.0, 0.0)):
        assert np.isnan(co_movement(smooth, noise, [12]).correlation)
