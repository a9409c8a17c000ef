"""Co-activation: exact counts, phi as NumPy has it, and a change that is 0 for the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.neurons.coactivation import coactivation_change
from interp.neurons.coactivation_counts import (
    CoactivationCounts,
    MoeficationAffinity,
    moefication_weights,
)
from interp.results.errors import BadInput, Mismatch


def _rows(n: int, neurons: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, neurons, generator=torch.Generator().manual_seed(seed)) - 0.3


def _counted(h: torch.Tensor) -> CoactivationCounts:
    counts = CoactivationCounts(h.shape[1])
    counts.update(h)
    return counts


def test_phi_is_numpys_correlation_of_on_and_off() -> None:
    h = _rows(300, 12)
    found = _counted(h).finish()
    expected = np.corrcoef((h > 0).double().numpy(), rowvar=False)
    np.testing.assert_allclose(found.phi, expected, atol=1e-6)
    np.testing.assert_allclose(found.rates, (h > 0).double().mean(0).numpy())
    assert found.n == 300


def test_dead_and_always_on_neurons_are_masked_and_not_nan() -> None:
    h = _rows(100, 6)
    h[:, 1], h[:, 4] = -1.0, 1.0
    found = _counted(h).finish()
    assert found.varies.tolist() == [True, False, True, True, False, True]
    assert np.isfinite(found.phi).all()
    assert np.all(found.phi[1] == 0) and np.all(found.phi[:, 4] == 0)
    assert np.all(np.diag(found.phi)[found.varies] == 1)


def test_permuting_neurons_permutes_phi() -> None:
    h, order = _rows(200, 9), torch.randperm(9, generator=torch.Generator().manual_seed(1))
    moved = _counted(h[:, order]).finish().phi
    assert np.array_equal(moved, _counted(h).finish().phi[np.ix_(order.numpy(), order.numpy())])


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 64), max_size=4), order=st.randoms(use_true_random=False))
def test_any_cut_merged_in_any_order_gives_the_same_counts(cuts: list[int], order) -> None:
    h = _rows(64, 7)
    bounds = sorted({0, 64, *cuts})
    parts = [_counted(h[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]
    order.shuffle(parts)
    whole = CoactivationCounts(7)
    for part in parts:
        whole.merge(part)
    assert torch.equal(whole.together, _counted(h).together) and whole.n == 64


def test_wide_layers_are_counted_in_blocks_as_narrow_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    h = _rows(50, 11)
    whole = _counted(h).finish().phi
    monkeypatch.setattr("interp.neurons.coactivation_counts._BLOCK_ENTRIES", 30)
    assert np.array_equal(_counted(h).finish().phi, whole)


def test_the_change_of_a_layer_to_itself_is_0_and_to_an_unrelated_one_about_1() -> None:
    first, other = _counted(_rows(500, 40)).finish(), _counted(_rows(500, 40, seed=1)).finish()
    assert coactivation_change(first, first) == pytest.approx(0.0, abs=1e-12)
    assert coactivation_change(first, other) == pytest.approx(1.0, abs=0.15)


def test_the_change_between_halves_of_a_planted_layer_is_below_that_to_another_plan() -> None:
    def planted(seed: int, groups: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        shared = torch.randn(4000, 4, generator=generator)[:, groups]
        return shared + 0.5 * torch.randn(shared.shape, generator=generator)

    groups, moved = torch.arange(32) % 4, torch.arange(32) // 8
    a, b = (_counted(planted(seed, groups)).finish() for seed in (0, 1))
    elsewhere = _counted(planted(2, moved)).finish()
    assert coactivation_change(a, b) < 0.02
    assert coactivation_change(a, elsewhere) > 0.5


def test_a_change_that_is_not_defined_is_nan_and_other_widths_are_refused() -> None:
    dead = _counted(torch.zeros(10, 5)).finish()
    assert np.isnan(coactivation_change(dead, dead))
    with pytest.raises(Mismatch, match="5 and of 6"):
        coactivation_change(dead, _counted(torch.zeros(10, 6)).finish())


def test_moefications_affinity_is_that_of_a_double_loop_over_batches_of_eight() -> None:
    h = _rows(43, 5)
    expected = torch.zeros(5, 5)
    for start in range(0, 43, 8):
        some = h[start : start + 8].clamp(min=0)
        expected += (some.T @ some).clamp(max=1)
    for cuts in ([43], [3, 40], [8, 16, 19]):
        found = MoeficationAffinity(5)
        for part in h.split(cuts):
            found.update(part)
        torch.testing.assert_close(found.finish(), expected)


def test_moefication_parts_of_whole_batches_merge_to_the_whole() -> None:
    h = _rows(40, 5)
    whole, first, second = (MoeficationAffinity(5) for _ in range(3))
    for found, part in ((whole, h), (first, h[:16]), (second, h[16:])):
        found.update(part)
    first.merge(second)
    torch.testing.assert_close(first.finish(), whole.finish())


def test_moefication_weights_are_whole_multiples_of_the_first_decile_that_is_not_zero() -> None:
    affinity = torch.zeros(10, 10)
    affinity[:2, 2:] = 1.0
    affinity[2:, :2] = 1.0
    affinity[0, 2] = affinity[2, 0] = 5.0
    weights = moefication_weights(affinity)
    assert weights[0, 2] == 5 and weights[1, 3] == 1 and weights[4, 5] == 0
    with pytest.raises(BadInput, match="no two neurons"):
        moefication_weights(torch.zeros(3, 3))


def test_rows_of_another_width_and_nan_are_refused() -> None:
    counts = CoactivationCounts(4)
    with pytest.raises(Mismatch, match="rows of 5"):
        counts.update(torch.zeros(2, 5))
    with pytest.raises(BadInput, match="NaN"):
        counts.update(torch.full((2, 4), float("nan")))
