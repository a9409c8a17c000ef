"""Sums of sparsity: any cut, any order, and what a double loop gives."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.neurons.sparsity.activity import active_neurons
from interp.neurons.sparsity.counts import SparsityCounts
from interp.neurons.sparsity.definitions import MEASURES
from interp.neurons.sparsity.layer import layer_measures
from interp.neurons.sparsity.rule import ActivityRule
from interp.results.errors import BadInput, Mismatch

N = 10
RELU = partial(active_neurons, rule=ActivityRule.parse("relu"))


def _layer(seed: int = 0, rows: int = 60) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    h = (torch.randn(rows, N, generator=generator) - 0.5).relu()
    h[:, 3] = 0.0
    h[7] = 0.0
    return h, np.arange(rows) // 7, torch.randn(N, 4, generator=generator)


def _counted(h: torch.Tensor, sequence: np.ndarray, W_out: torch.Tensor) -> SparsityCounts:
    counts = SparsityCounts(N, active=RELU, W_out=W_out)
    counts.update(h, sequence)
    return counts


def _value(counts: SparsityCounts) -> dict[str, float]:
    return dict(zip(MEASURES, layer_measures(counts.finish(), seed=0).value, strict=True))


def test_measures_are_those_of_loops_over_tokens_and_sequences() -> None:
    h, sequence, W_out = _layer()
    found = _value(_counted(h, sequence, W_out))
    on = (h > 0).numpy()
    rates = on.mean(axis=0)
    unions = [on[sequence == s].any(axis=0).mean() for s in np.unique(sequence)]
    chance = [(1 - (1 - rates) ** (sequence == s).sum()).mean() for s in np.unique(sequence)]
    assert found["active"] == pytest.approx(on.mean())
    assert found["in_sequence"] == pytest.approx(np.mean(unions))
    assert found["in_sequence_independent"] == pytest.approx(np.mean(chance))
    assert found["dead"] == pytest.approx((rates == 0).mean())
    assert found["dense"] == pytest.approx((rates > 0.5).mean())
    alive = h[h.sum(1) > 0].double()
    effective = (alive.sum(1) ** 2 / (alive**2).sum(1)).mean() / N
    assert found["effective"] == pytest.approx(float(effective))
    norms = alive.numpy() * W_out.norm(dim=1).numpy()
    needed = [
        int(np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.9 * row.sum())) + 1 for row in norms
    ]
    assert found["needed_0.9"] == pytest.approx(np.mean(needed) / N)
    assert found["dropped"] == 0.0


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(0, 60), max_size=4), order=st.randoms(use_true_random=False))
def test_any_cut_merged_in_any_order_gives_the_same_measures(cuts: list[int], order) -> None:
    h, sequence, W_out = _layer()
    bounds = sorted({0, 60, *cuts})
    parts = [
        _counted(h[a:b], sequence[a:b], W_out) for a, b in zip(bounds, bounds[1:], strict=False)
    ]
    order.shuffle(parts)
    merged = SparsityCounts(N, active=RELU, W_out=W_out)
    for part in parts:
        merged.merge(part)
    whole = _counted(h, sequence, W_out)
    for name in ("on", "histogram", "largest"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_array_equal(merged.finish().union, whole.finish().union)
    np.testing.assert_allclose(
        list(_value(merged).values()), list(_value(whole).values()), rtol=1e-6
    )


def test_permuting_neurons_permutes_rates_and_leaves_the_layers_measures() -> None:
    h, sequence, W_out = _layer()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    moved, own = _counted(h[:, order], sequence, W_out[order]), _counted(h, sequence, W_out)
    np.testing.assert_array_equal(moved.on, own.on[order.numpy()])
    np.testing.assert_allclose(list(_value(moved).values()), list(_value(own).values()), rtol=1e-5)


def test_the_histogram_counts_every_token_once() -> None:
    h, sequence, W_out = _layer()
    counts = _counted(h, sequence, W_out)
    assert counts.histogram.sum() == 60
    assert counts.histogram @ np.arange(N + 1) == int((h > 0).sum())
    assert counts.histogram[0] == int((h == 0).all(1).sum())


def test_an_interval_over_sequences_holds_the_rate_of_a_longer_text() -> None:
    generator = torch.Generator().manual_seed(5)
    h = (torch.rand(4000, N, generator=generator) - 0.7).relu()
    found = layer_measures(_counted(h, np.arange(4000) // 10, torch.ones(N, 2)).finish(), seed=0)
    at = list(MEASURES).index("active")
    assert found.low[at] < 0.3 < found.high[at]
    assert found.n[at] == 4000
    assert found.high[at] - found.low[at] < 0.02


def test_nothing_is_said_of_outputs_without_the_weights_and_nothing_at_all_without_rows() -> None:
    h, sequence, _ = _layer()
    counts = SparsityCounts(N, active=RELU)
    assert np.isnan(layer_measures(counts.finish(), seed=0).value).all()
    counts.update(h, sequence)
    found = _value(counts)
    assert np.isnan(found["needed_0.9"]) and np.isnan(found["dropped"])
    assert np.isfinite(found["active"])


def test_rows_of_another_width_and_nan_are_refused() -> None:
    counts = SparsityCounts(N, active=RELU)
    with pytest.raises(Mismatch, match="rows of 5 neurons"):
        counts.update(torch.zeros(1, 5), np.zeros(1, np.int64))
    with pytest.raises(BadInput, match="NaN"):
        counts.update(torch.full((1, N), float("nan")), np.zeros(1, np.int64))
    with pytest.raises(Mismatch, match="not one layer"):
        counts.merge(SparsityCounts(5, active=RELU))
