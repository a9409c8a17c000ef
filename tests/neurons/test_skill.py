"""Skill neurons: nothing chosen where it is measured, and chance exact."""

import itertools

import numpy as np
import pytest
import torch

from interp.neurons.skill import skill_accuracy
from interp.results.errors import BadInput


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coin(n: int, *, seed: int, n_functions: int = 1) -> torch.Tensor:
    return (torch.rand(n_functions, n, generator=generator(seed)) < 0.5).to(torch.int8)


def test_a_planted_skill_neuron_is_right_on_all_unseen_rows_in_either_direction():
    train, held_out = coin(100, seed=0), coin(80, seed=1)

    def units(labels: torch.Tensor) -> torch.Tensor:
        return torch.stack([labels[0] * 1.0, 3.0 - labels[0], torch.ones(labels.shape[1])], dim=1)

    found = skill_accuracy(units(train), train, units(held_out), held_out)
    np.testing.assert_array_equal(found.accuracy[0, :2], [1.0, 1.0])
    assert found.sign[0, :2].tolist() == [1, -1]
    assert found.threshold[0, 0] == pytest.approx(train.double().mean().item())
    assert (found.q[0, :2] < 1e-10).all()
    assert found.p[0, 2] == 1.0
    assert found.accuracy[0, 2] == pytest.approx(found.expected[0, 2])
    assert (found.p_max_t[0, :2] == 1 / 201).all()
    assert found.n == (80,)


def test_accuracy_is_that_of_a_plain_loop():
    train, held_out = coin(60, seed=2, n_functions=2), coin(50, seed=3, n_functions=2)
    train[0, 40:], held_out[1, ::3] = -1, -1
    before, after = (torch.randn(n, 5, generator=generator(n)) for n in (60, 50))
    found = skill_accuracy(before, train, after, held_out)
    for function in range(2):
        kept, tested = train[function] >= 0, held_out[function] >= 0
        for unit in range(5):
            threshold = before[kept, unit].double().mean()
            says = after[tested, unit].double() > threshold
            if found.sign[function, unit] < 0:
                says = ~says
            share = (says == (held_out[function, tested] == 1)).double().mean().item()
            assert found.accuracy[function, unit] == pytest.approx(share)


def test_the_direction_does_not_look_at_the_held_out_labels():
    train, held_out = coin(60, seed=4), coin(60, seed=5)
    scores = torch.randn(60, 8, generator=generator(6))
    found, flipped = (skill_accuracy(scores, train, scores, x) for x in (held_out, 1 - held_out))
    np.testing.assert_array_equal(found.sign, flipped.sign)
    np.testing.assert_allclose(found.accuracy, 1 - flipped.accuracy)


def test_p_and_the_expected_accuracy_are_those_of_all_placings():
    train = torch.tensor([[0, 1, 0, 1]], dtype=torch.int8)
    before = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    after = torch.tensor([[1.0], [1.0], [0.0], [0.0], [0.0], [1.0], [0.0]])
    says = after[:, 0] > 0.5
    rights = {}
    for placing in itertools.combinations(range(7), 3):
        labels = torch.zeros(1, 7, dtype=torch.int8)
        labels[0, list(placing)] = 1
        rights[placing] = (says == (labels[0] == 1)).double().mean().item()
    labels = torch.tensor([[1, 1, 0, 0, 1, 0, 0]], dtype=torch.int8)
    found = skill_accuracy(before, train, after, labels)
    all_rights = np.array(list(rights.values()))
    assert found.expected[0, 0] == pytest.approx(all_rights.mean())
    assert found.p[0, 0] == pytest.approx((all_rights >= found.accuracy[0, 0] - 1e-12).mean())


def test_noise_passes_as_often_as_asked_and_its_best_no_more():
    passed, best = [], []
    for seed in range(40):
        train, held_out = coin(80, seed=seed), coin(80, seed=500 + seed)
        scores = torch.randn(160, 50, generator=generator(seed))
        found = skill_accuracy(scores[:80], train, scores[80:], held_out, draws=39, seed=seed)
        passed.append((found.p <= 0.05).mean())
        best.append(found.p_max_t.min() <= 0.05)
    assert np.mean(passed) < 0.05 + 4 * np.std(passed) / np.sqrt(40)
    assert np.mean(best) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)


def test_one_class_or_other_functions_are_refused():
    scores, labels = torch.zeros(10, 2), coin(10, seed=7, n_functions=2)
    with pytest.raises(BadInput, match="function 1 has 0 rows with its label"):
        skill_accuracy(scores, labels, scores, labels * torch.tensor([[1], [0]]).to(torch.int8))
    with pytest.raises(BadInput, match="2 functions have training labels and 1 held-out"):
        skill_accuracy(scores, labels, scores, labels[:1])
