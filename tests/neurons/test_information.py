"""Information and selectivity: known tables, scikit-learn's count, and what noise gives."""

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from interp.neurons.information import N_BINS
from interp.neurons.measures.information import information
from interp.neurons.measures.selectivity import selectivity
from interp.neurons.relabelling import shuffled_labels


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coin(n: int, *, seed: int) -> torch.Tensor:
    labels = (torch.rand(1, n, generator=generator(seed)) < 0.5).to(torch.int8)
    labels[:, 0], labels[:, 1] = 0, 1
    return labels


def test_a_unit_that_is_the_label_says_all_of_it_and_its_negative_too():
    labels = torch.tensor([[0, 1] * 400], dtype=torch.int8)
    unit = labels[0].float()
    found = information(torch.stack([unit, -unit], dim=1), labels)
    np.testing.assert_allclose(found.score, 1.0, atol=1 / 800)
    assert found.sign.tolist() == [1, -1]


def test_a_unit_that_fires_in_the_middle_of_its_range_says_it_and_has_no_difference_of_means():
    draw = torch.rand(4000, 1, generator=generator(0)) * 2 - 1
    labels = (draw.abs() < 0.5).T.to(torch.int8)
    assert information(draw, labels).score[0, 0] > 0.6
    assert abs(selectivity(draw, labels).score[0, 0]) < 0.1


def test_without_the_correction_it_is_scikit_learns_count_of_the_binned_unit():
    n = 600
    scores = torch.randn(n, 3, generator=generator(1)).relu()
    labels = (scores[:, 0] + torch.randn(n, generator=generator(2)) > 0.5).to(torch.int8)[None]
    found = information(scores, labels)
    for unit in range(3):
        column = scores[:, unit].numpy()
        at_least = (column[None] >= column[:, None]).sum(1)
        middle = at_least - (column[None] == column[:, None]).sum(1) / 2
        bins = (middle * N_BINS / n).astype(int)
        plain = mutual_info_score(bins, labels[0].numpy()) / np.log(2)
        cells = len(set(zip(bins.tolist(), labels[0].tolist(), strict=True)))
        correction = (cells - len(set(bins)) - 2 + 1) / (2 * n * np.log(2))
        assert found.score[0, unit] == pytest.approx(plain - correction, abs=1e-12)


def test_noise_says_nothing_on_average():
    bits, null = [], []
    for seed in range(20):
        scores = torch.randn(300, 60, generator=generator(seed))
        labels = coin(300, seed=100 + seed)
        drawn = shuffled_labels(labels[0].numpy(), 39, np.random.default_rng(seed))
        found = information(scores, torch.cat([labels, torch.from_numpy(drawn)])).score
        bits.append(found[0].mean())
        null.append(found[1:].mean())
    assert abs(np.mean(bits)) < 3 * np.std(bits) / np.sqrt(20) + 2e-4
    assert abs(np.mean(null)) < 5e-4


def test_selectivity_of_known_means():
    labels = torch.tensor([[1, 1, 0, 0]], dtype=torch.int8)
    scores = torch.tensor([[4.0, -1.0, 0.0], [2.0, 3.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    found = selectivity(scores, labels)
    assert found.score[0, 0] == pytest.approx(2 / np.sqrt(2 / 2))
    assert found.score[0, 1:].tolist() == [0.0, 0.0]
