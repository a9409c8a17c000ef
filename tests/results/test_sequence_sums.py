"""Sums by sequence: any cut gives the same, and the bootstrap covers what was planted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.dictionaries.evaluation.firing import FiringCounts, feature_measures
from interp.dictionaries.evaluation.moments import JointMoments
from interp.results.sequence_sums import ROWS, SequenceSums, Totals, bootstrap


def summed(sequence: np.ndarray, values: np.ndarray, cuts: list[int]) -> SequenceSums:
    sums = SequenceSums()
    for start, stop in zip([0, *cuts], [*cuts, len(values)], strict=True):
        part = SequenceSums()
        part.update(sequence[start:stop], {"x": values[start:stop]})
        sums.merge(part)
    return sums


@given(st.lists(st.integers(0, 50), max_size=4).map(sorted), st.integers(0, 99))
def test_any_cut_into_batches_gives_the_same_sums(cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sequence, values = rng.integers(0, 9, 50), rng.normal(size=50)
    found = summed(sequence, values, cuts).finish()
    numbers = np.unique(sequence)
    expected = [values[sequence == number].sum() for number in numbers]
    np.testing.assert_allclose(found.column("x"), expected, atol=1e-12)
    np.testing.assert_array_equal(found.column(ROWS), [(sequence == i).sum() for i in numbers])


def mean_x(totals: Totals) -> dict[str, np.ndarray]:
    return {"mean": totals["x"] / totals[ROWS]}


def test_the_interval_of_a_mean_is_that_of_its_standard_error_over_sequences() -> None:
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(size=400), 5)
    sums = summed(np.repeat(np.arange(400), 5), level, [])
    found = bootstrap(sums.finish(), mean_x, rng=np.random.default_rng(1))["mean"]
    error = 1.96 * level[::5].std() / np.sqrt(400)
    assert found.value == pytest.approx(level.mean())
    assert found.high - found.value == pytest.approx(error, rel=0.1)
    assert found.value - found.low == pytest.approx(error, rel=0.1)


def test_one_sequence_has_a_value_and_no_interval() -> None:
    sums = summed(np.zeros(4, np.int64), np.arange(4.0), [])
    found = bootstrap(sums.finish(), mean_x, rng=np.random.default_rng(0))["mean"]
    assert found.value == 1.5
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_a_ratio_over_nothing_is_missing() -> None:
    sums = summed(np.arange(4), np.zeros(4), [])

    def ratio(totals: Totals) -> dict[str, np.ndarray]:
        return {"ratio": totals[ROWS] / totals["x"]}

    found = bootstrap(sums.finish(), ratio, rng=np.random.default_rng(0))["ratio"]
    assert np.isnan(found).all()


def test_moments_of_any_split_are_those_of_all_rows() -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=generator) + 5, torch.randn(30, 3, generator=generator)
    one, two = JointMoments(4, 3), JointMoments(4, 3)
    one.update(x[:7], y[:7])
    two.update(x[7:], y[7:])
    one.merge(two)
    centred = (x - x.mean(0)).double()
    torch.testing.assert_close(one.xx, centred.T @ centred, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.xy, centred.T @ (y - y.mean(0)).double(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.mean_y, y.double().mean(0), atol=1e-6, rtol=1e-6)


def test_firing_is_counted_by_feature_and_by_row() -> None:
    import torch

    codes = torch.zeros(20, 4)
    codes[:, 0] = 1
    codes[:3, 1] = -1.0
    codes[0, 2] = 2
    counts, rest = FiringCounts(4), FiringCounts(4)
    counts.update(codes[:5])
    rest.update(codes[5:])
    counts.merge(rest)
    assert counts.fired.tolist() == [20, 3, 1, 0]
    np.testing.assert_array_equal(
        counts.l0_quantiles(),
        [np.quantile([3, 2, 2, *[1] * 17], q, method="inverted_cdf")
         for q in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1)],
    )  # fmt: skip
    found = feature_measures(counts.fired, 20)
    assert found["dead"].value == 0.25
    assert found["dense"].value == 0.5
    # Wilson of 0 of 20, as a table of intervals has it.
    assert found["dead_density_bound"].value == pytest.approx(0.161, abs=1e-3)
