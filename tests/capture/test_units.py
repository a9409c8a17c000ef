"""Units of a store: the moments and extremes of the same rows read at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.capture import units
from interp.capture.store import ActivationStore
from interp.capture.units import (
    context_rows,
    expected_reach,
    n_units,
    strongest_rows,
    unit_moments,
    unit_values,
)
from interp.results.errors import BadInput
from tests.apps.sample import LENGTH, LOUD_ROW, LOUD_UNIT, SITES, sample_store

ALL = 10**9
RESID, HEADS = SITES


@pytest.fixture
def store(tmp_path):
    with ActivationStore.open(sample_store(tmp_path / "store")) as opened:
        yield opened


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 24])
def test_moments_are_those_of_all_rows_at_once_whatever_the_block(
    store, site, block_bytes, monkeypatch
):
    monkeypatch.setattr(units, "_BLOCK_BYTES", block_bytes)
    rows = store.rows(site, 0, store.n_rows).reshape(store.n_rows, -1).astype(np.float64)
    found = unit_moments(store, site, max_rows=ALL)
    assert found.n_rows == store.n_rows
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.sd, rows.std(axis=0), atol=1e-12)
    np.testing.assert_array_equal(found.low, rows.min(axis=0))
    np.testing.assert_array_equal(found.high, rows.max(axis=0))


def test_the_planted_outlier_is_the_unit_that_reaches_furthest(store):
    found = unit_moments(store, RESID, max_rows=ALL)
    assert int(found.reach.argmax()) == LOUD_UNIT
    values = unit_values(store, RESID, LOUD_UNIT, max_rows=ALL)
    sequence = store.column("sequence", 0, store.n_rows)
    assert strongest_rows(values, sequence, k=1).tolist() == [LOUD_ROW]


def test_a_unit_of_a_site_with_two_axes_is_its_flat_place(store):
    values = unit_values(store, HEADS, 5, max_rows=ALL)
    np.testing.assert_array_equal(values, store.rows(HEADS, 0, store.n_rows)[:, 1, 1])
    assert n_units(store, HEADS) == 8


def test_no_more_rows_are_read_than_asked(store):
    assert len(unit_values(store, RESID, 0, max_rows=7)) == 7
    assert unit_moments(store, RESID, max_rows=7).n_rows == 7


@pytest.mark.parametrize("unit", [-1, 16])
def test_a_unit_that_does_not_exist_is_refused_by_number(store, unit):
    with pytest.raises(BadInput, match="it has units 0 to 15"):
        unit_values(store, RESID, unit, max_rows=ALL)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=False, width=32), max_size=30),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_the_strongest_rows_are_each_the_highest_of_their_sequence(values, per_sequence, k):
    array = np.array(values, dtype=np.float64)
    sequence = (np.arange(len(array)) // per_sequence).astype(np.int64)
    found = strongest_rows(array, sequence, k=k)
    best = [np.nanmax(x) for s in set(sequence) if not np.isnan(x := array[sequence == s]).all()]
    assert array[found].tolist() == sorted(best, reverse=True)[:k]
    assert len(set(sequence[found])) == len(found)


@pytest.mark.parametrize("row", [0, LENGTH - 1, LENGTH, 150, 287])
def test_a_context_stays_in_its_sequence_and_holds_its_row(store, row):
    start, stop = context_rows(store, row, width=5)
    assert start <= row < stop
    assert set(store.column("sequence", start, stop)) == {row // LENGTH}
    assert stop - start == min(row % LENGTH, 5) + 1 + min(LENGTH - 1 - row % LENGTH, 5)


def test_expected_reach_is_the_median_of_simulated_maxima():
    rng = np.random.default_rng(0)
    simulated = np.median(np.abs(rng.standard_normal((4000, 100))).max(axis=1))
    assert expected_reach(100) == pytest.approx(simulated, abs=0.05)
    assert np.isnan(expected_reach(0))


def test_an_empty_store_is_refused_in_words(tmp_path):
    with (
        ActivationStore.open(sample_store(tmp_path / "empty", n_sequences=0)) as store,
        pytest.raises(BadInput, match="holds no row"),
    ):
        unit_moments(store, RESID, max_rows=ALL)
