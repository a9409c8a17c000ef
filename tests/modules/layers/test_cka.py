"""CKA: invariances, what independent layers give, and minibatches in any order."""

import numpy as np
import pytest
import torch

from interp.modules.layers.cka import MinibatchCka, biased_floor, hsic_unbiased
from interp.results.errors import BadInput


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cka_of(*layers: torch.Tensor, biased: bool = False) -> np.ndarray:
    counted = MinibatchCka(biased=biased)
    counted.update(torch.stack(layers), number=0)
    return counted.finish().cka


@pytest.mark.parametrize("biased", [False, True])
def test_one_with_itself_turned_scaled_and_moved(biased):
    states = normal(40, 12, seed=0)
    turn, _ = torch.linalg.qr(normal(12, 12, seed=1))
    moved = 3.5 * states @ turn + normal(12, seed=2)
    found = cka_of(states, states, moved, biased=biased)
    np.testing.assert_allclose(found, 1.0, atol=1e-9)


@pytest.mark.parametrize(("n", "d"), [(128, 64), (128, 512), (256, 1024)])
def test_independent_layers_have_none_and_the_biased_estimate_its_floor(n, d):
    layers = normal(n, d, seed=3), normal(n, d, seed=4)
    assert abs(cka_of(*layers)[0, 1]) < 0.04
    assert cka_of(*layers, biased=True)[0, 1] == pytest.approx(biased_floor(n, d), abs=0.02)


def test_the_unbiased_estimate_is_the_mean_over_all_sets_of_four_examples():
    from itertools import permutations

    x, y = normal(6, 3, seed=5), normal(6, 3, seed=6)
    k, other = x @ x.T, y @ y.T
    # Song et al. 2012: E over i, j, q, r all different of K_ij (L_ij + L_qr - 2 L_iq).
    terms = [
        k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q])
        for i, j, q, r in permutations(range(6), 4)
    ]
    found = hsic_unbiased(k[None], other[None])[0, 0]
    assert float(found) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-10)


def test_minibatches_merge_in_any_order_to_the_same_bits():
    parts = [normal(3, 20, 8, seed=seed) for seed in range(5)]
    whole = MinibatchCka(seed=7)
    for number, part in enumerate(parts):
        whole.update(part, number=number)
    ranks = [MinibatchCka(seed=7) for _ in range(2)]
    for number, part in reversed(list(enumerate(parts))):
        ranks[number % 2].update(part, number=number)
    ranks[1].merge(ranks[0])
    for a, b in zip(whole.finish(), ranks[1].finish(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_standard_error_covers_the_spread_over_texts():
    values, errors = [], []
    for seed in range(40):
        common, counted = normal(160, 10, seed=seed), MinibatchCka()
        noisy = common + 1.0 * normal(160, 10, seed=1000 + seed)
        for number, rows in enumerate(torch.arange(160).split(20)):
            counted.update(torch.stack([common[rows], noisy[rows]]), number=number)
        found = counted.finish()
        values.append(found.cka[0, 1])
        errors.append(found.error[0, 1])
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)
    assert found.n == 160
    assert found.minibatch == 20


def test_the_null_deals_one_layers_examples_anew():
    counted, states = MinibatchCka(), normal(300, 6, seed=8)
    counted.update(torch.stack([states, states]), number=0)
    found = counted.finish()
    assert np.abs(found.null).max() < 0.1
    assert np.isnan(found.error).all()


def test_a_layer_that_gives_all_examples_the_same_has_no_cka_and_three_are_too_few():
    found = cka_of(normal(20, 4, seed=9), torch.ones(20, 4, dtype=torch.float64))
    assert np.isnan(found[0, 1])
    assert found[0, 0] == pytest.approx(1.0)
    with pytest.raises(BadInput, match="minibatch of 3 examples: CKA needs at least 4"):
        MinibatchCka().update(normal(2, 3, 4, seed=0), number=0)
