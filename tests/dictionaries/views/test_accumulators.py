"""One pass in pieces: any cut and any merge give what all rows at once give."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.dictionaries.views.accumulators import Accumulators, PassSettings
from interp.dictionaries.views.label_columns import LabelColumn
from interp.dictionaries.views.neurons import NullBank
from tests.dictionaries.views.drawn import Drawn, batch_of, drawn, pieces

CUTS = st.lists(st.integers(0, 300), max_size=4)


def settings_of(data: Drawn, *, max_entries: int = 1 << 20, of_documents: bool = True):
    return PassSettings(
        d_sae=data.acts.shape[1],
        n_strongest=3,
        n_sampled=4,
        width=3,
        n_partners=3,
        max_entries=max_entries,
        labels=(LabelColumn(name="label", values=(0, 1, 2), of_documents=of_documents),),
        bank=NullBank(
            data.neurons[:40, [0, 4, 9]], data.neurons[:40].mean(axis=0), np.array([0, 4, 9])
        ),
    )


def assert_equal(one, other, where=""):
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=where)
        else:
            np.testing.assert_array_equal(one, other, err_msg=where)
    elif is_dataclass(one):
        for field in fields(one):
            name = f"{where}.{field.name}"
            assert_equal(getattr(one, field.name), getattr(other, field.name), name)
    elif isinstance(one, tuple):
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{where}[{index}]")
    else:
        assert one == other, where


def passed(data: Drawn, asked: PassSettings, cuts: list[int]) -> Accumulators:
    state = Accumulators(asked)
    for start, stop in pieces(data, cuts):
        state.update(batch_of(data, start, stop), data.neurons[start:stop])
    return state


@pytest.mark.slow
@pytest.mark.parametrize("max_entries", [1 << 20, 150])
@settings(max_examples=12)
@given(seed=st.integers(0, 50), cuts=CUTS, merged_at=CUTS)
def test_any_cut_into_batches_and_parts_gives_the_same_views(max_entries, seed, cuts, merged_at):
    data = drawn(seed)
    asked = settings_of(data, max_entries=max_entries)
    whole = passed(data, asked, []).finish("neurons")
    assert_equal(passed(data, asked, cuts).finish("neurons"), whole)
    total = Accumulators(asked)
    for start, stop in pieces(data, merged_at):
        part = Accumulators(asked)
        part.update(batch_of(data, start, stop), data.neurons[start:stop])
        total.merge(part)
    assert_equal(total.finish("neurons"), whole)


def test_activity_is_that_of_the_dense_array():
    data = drawn(1, n=2000)
    found = passed(data, settings_of(data), [700]).finish(None).activity
    firing = [column[column > 0] for column in data.acts.T]
    np.testing.assert_array_equal(found.n_active, [len(values) for values in firing])
    np.testing.assert_array_equal(found.histogram.sum(axis=1), found.n_active)
    for feature, values in enumerate(firing[:-1]):
        assert found.mean[feature] == pytest.approx(values.mean(dtype=np.float64))
        assert found.max[feature] == values.max()
        exact = np.quantile(values, 0.5, method="inverted_cdf")
        assert found.quantiles[feature, 2] == pytest.approx(exact, rel=0.0626)
    assert np.isnan(found.mean[-1]) and np.isnan(found.quantiles[-1]).all()
    assert ((found.density_interval[:, 0] <= found.density) & (found.density <= 1)).all()


def test_firings_below_zero_are_as_strong_as_above_and_keep_their_sign_in_contexts():
    data = drawn(9)
    signs = np.where(np.random.default_rng(9).random(data.acts.shape) < 0.5, -1, 1)
    signed = data._replace(acts=(data.acts * signs).astype(np.float32))
    one = passed(data, settings_of(data), [120]).finish(None)
    other = passed(signed, settings_of(data), [120]).finish(None)
    assert_equal(other.activity, one.activity)
    assert_equal(other.labels, one.labels)
    for name in ("strongest", "sampled"):
        mine, theirs = getattr(one, name), getattr(other, name)
        for field in ("row", "band", "token"):
            np.testing.assert_array_equal(getattr(mine, field), getattr(theirs, field))
        feature, slot = np.nonzero(theirs.row >= 0)
        value = signed.acts[theirs.row[feature, slot], feature]
        np.testing.assert_array_equal(theirs.activation[feature, slot], value)
        assert (value < 0).any()


def test_the_strongest_contexts_are_those_of_a_sort_one_a_sequence():
    data = drawn(2)
    found = passed(data, settings_of(data), [100, 101, 250]).finish(None).strongest
    for feature, column in enumerate(data.acts.T):
        rows = sorted(np.flatnonzero(column), key=lambda row: (-column[row], row))
        firsts = [r for i, r in enumerate(rows) if r // 16 not in {q // 16 for q in rows[:i]}][:3]
        got = found.row[feature]
        # Ties in activation are ordered by row in the ranking, as here.
        assert got[got >= 0].tolist() == firsts
        np.testing.assert_array_equal(found.activation[feature, : len(firsts)], column[firsts])


def test_a_context_ends_where_its_document_or_sequence_does():
    data = drawn(3)
    found = passed(data, settings_of(data), [37, 90]).finish(None).sampled
    assert (found.row >= 0).any()
    for feature, slot in np.argwhere(found.row >= 0):
        row = found.row[feature, slot]
        for place, other in enumerate(range(row - 3, row + 4)):
            token, along = found.token[feature, slot, place], found.along[feature, slot, place]
            same = 0 <= other < 300 and data.document[other] == data.document[row]
            if same and other // 16 == row // 16:
                assert (token, along) == (data.token[other], data.acts[other, feature])
            else:
                assert token == -1 and np.isnan(along)


def test_sampled_contexts_are_drawn_evenly_from_all_firings():
    data = drawn(4, n=6000, share=0.5)
    data = data._replace(acts=np.tile(data.acts[:, 1:2], (1, 400)))
    asked = PassSettings(d_sae=400, n_sampled=16, width=1)
    found = Accumulators(asked)
    found.update(batch_of(data, 0, 6000))
    sampled = found.finish(None).sampled
    bands = np.bincount(sampled.band.ravel(), minlength=4) / sampled.band.size
    np.testing.assert_allclose(bands, 0.25, atol=0.04)
    middle = (sampled.row < 3000).mean()
    assert abs(middle - 0.5) < 0.03


def test_coactivation_is_that_of_the_dense_array_while_all_rows_fit():
    data = drawn(5, n=900, share=0.3)
    data.acts[:, 3] = data.acts[:, 2] * (np.arange(900) % 5 > 0)
    found = passed(data, settings_of(data), [450]).finish(None).coactivation
    fires = data.acts > 0
    r = np.corrcoef(fires[:, :-1].T) - 2 * np.eye(11)
    assert found.n_rows == 900
    assert found.feature[2, 0] == 3 and found.feature[3, 0] == 2
    best = np.argmax(r, axis=1)
    np.testing.assert_array_equal(found.feature[:-1, 0], best)
    np.testing.assert_allclose(found.phi[:-1, 0], r.max(axis=1), atol=1e-4)
    together = (fires[:, :-1] & fires[:, best]).sum(axis=0)
    np.testing.assert_array_equal(found.together[:-1, 0], together)
    assert found.p_value[2, 0] < 1e-10
    assert (found.feature[-1] == -1).all()


def test_a_sample_of_rows_says_how_many_it_counts_and_keeps_its_bound():
    data = drawn(6, n=5000)
    found = passed(data, settings_of(data, max_entries=2000), [1234]).finish(None).coactivation
    entries_a_row = (data.acts > 0).sum() / 5000
    assert found.n_rows * entries_a_row < 2600
    assert found.n_rows > 500


def test_correlations_are_numpys():
    data = drawn(7, n=800)
    data.neurons[:, 6] += 3 * data.acts[:, 4]
    found = passed(data, settings_of(data), [311]).finish("site").neurons
    exact = np.corrcoef(data.acts.T[:-1], data.neurons.T)[:11, 11:]
    assert found is not None and found.neuron[4, 0] == 6
    np.testing.assert_array_equal(found.neuron[:-1, 0], abs(exact).argmax(axis=1))
    taken = np.take_along_axis(exact, found.neuron[:-1], axis=1)
    np.testing.assert_allclose(found.correlation[:-1], taken, atol=1e-5)
    assert np.isnan(found.correlation[-1]).all() and np.isnan(found.null[-1])


def test_neurons_that_know_nothing_pass_the_null_in_about_one_feature_of_twenty():
    rng = np.random.default_rng(0)
    data = drawn(8, n=1500, d_sae=1200, share=0.05)
    data = data._replace(neurons=rng.standard_normal((1500, 30)).astype(np.float32))
    bank = NullBank(data.neurons[:, :20], data.neurons.mean(axis=0), np.arange(20))
    asked = PassSettings(d_sae=1200, width=1, bank=bank, max_entries=1000)
    found = passed(data, asked, []).finish("site").neurons
    assert found is not None
    above = (abs(found.correlation[:-1, 0]) > found.null[:-1]).mean()
    assert 0.01 < above < 0.12
