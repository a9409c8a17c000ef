"""Information and selectivity: known tables, scikit-learn's count, and what noise gives."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from interp.neurons.information import N_BINS, mutual_information, selectivity


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coin(n: int, *, seed: int, n_functions: int = 1) -> torch.Tensor:
    labels = (torch.rand(n_functions, n, generator=generator(seed)) < 0.5).to(torch.int8)
    labels[:, 0], labels[:, 1] = 0, 1
    return labels


def test_a_unit_that_is_the_label_says_all_of_it_and_its_negative_too():
    labels = torch.tensor([[0, 1] * 400], dtype=torch.int8)
    unit = labels[0].float()
    found = mutual_information(torch.stack([unit, -unit], dim=1), labels, draws=20)
    assert found.entropy[0] == pytest.approx(1.0)
    np.testing.assert_allclose(found.bits, 1.0, atol=1 / 800)
    assert (found.p == 1 / 21).all()
    assert found.n == (800,)


def test_a_unit_that_fires_in_the_middle_of_its_range_says_it_and_has_no_difference_of_means():
    draw = torch.rand(4000, 1, generator=generator(0)) * 2 - 1
    labels = (draw.abs() < 0.5).T.to(torch.int8)
    assert mutual_information(draw, labels, draws=10).bits[0, 0] > 0.6
    assert abs(selectivity(draw, labels, draws=10).d_prime[0, 0]) < 0.1


def test_without_the_correction_it_is_scikit_learns_count_of_the_binned_unit():
    n = 600
    scores = torch.randn(n, 3, generator=generator(1)).relu()
    labels = (scores[:, 0] + torch.randn(n, generator=generator(2)) > 0.5).to(torch.int8)[None]
    found = mutual_information(scores, labels, draws=5)
    for unit in range(3):
        column = scores[:, unit].numpy()
        at_least = (column[None] >= column[:, None]).sum(1)
        middle = at_least - (column[None] == column[:, None]).sum(1) / 2
        bins = (middle * N_BINS / n).astype(int)
        plain = mutual_info_score(bins, labels[0].numpy()) / np.log(2)
        cells = len(set(zip(bins.tolist(), labels[0].tolist(), strict=True)))
        correction = (cells - len(set(bins)) - 2 + 1) / (2 * n * np.log(2))
        assert found.bits[0, unit] == pytest.approx(plain - correction, abs=1e-12)


def test_noise_says_nothing_on_average_and_passes_as_often_as_asked():
    bits, passed, null = [], [], []
    for seed in range(20):
        scores = torch.randn(300, 60, generator=generator(seed))
        found = mutual_information(scores, coin(300, seed=100 + seed), draws=39, seed=seed)
        bits.append(found.bits.mean())
        null.append(found.null.mean())
        passed.append((found.p <= 0.05).mean())
    assert abs(np.mean(bits)) < 3 * np.std(bits) / np.sqrt(20) + 2e-4
    assert abs(np.mean(null)) < 5e-4
    assert abs(np.mean(passed) - 0.05) < 4 * np.std(passed) / np.sqrt(20)


def test_rows_left_out_change_nothing():
    scores, labels = torch.randn(200, 3, generator=generator(3)), coin(200, seed=4)
    labels[0, 150:] = -1
    whole = mutual_information(scores, labels, draws=10)
    part = mutual_information(scores[:150], labels[:, :150], draws=10)
    np.testing.assert_array_equal(whole.bits, part.bits)
    np.testing.assert_array_equal(whole.p, part.p)
    np.testing.assert_array_equal(
        selectivity(scores, labels).d_prime, selectivity(scores[:150], labels[:, :150]).d_prime
    )


def test_selectivity_of_known_means():
    labels = torch.tensor([[1, 1, 0, 0]], dtype=torch.int8)
    scores = torch.tensor([[4.0, -1.0, 0.0], [2.0, 3.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    found = selectivity(scores, labels, draws=10)
    assert found.index[0, 0] == pytest.approx((3 - 1) / (3 + 1))
    assert found.d_prime[0, 0] == pytest.approx(2 / np.sqrt(2 / 2))
    assert np.isnan(found.index[0, 1:]).all()
    assert found.d_prime[0, 1] == 0.0
    assert np.isnan(found.d_prime[0, 2])
    assert found.p[0, 2] == 1.0


def test_selectivity_of_noise_passes_as_often_as_asked():
    labels = coin(200, seed=5, n_functions=10)
    found = selectivity(torch.rand(200, 400, generator=generator(6)), labels, draws=39)
    assert abs((found.p <= 0.05).mean() - 0.05) < 0.02
    assert found.null.min() > 0
