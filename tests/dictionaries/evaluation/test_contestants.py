"""Baselines: what linear algebra says they must be."""

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.dictionaries.evaluation.contestants import (
    linear_map,
    neuron_basis,
    of_dictionary,
    random_dictionary,
)
from interp.dictionaries.evaluation.moments import JointMoments
from tests.dictionaries.making import made


def drawn(n: int, d: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator)
    return torch.randn(n, d, generator=generator) @ mixing + 3


def moments_of(x: Tensor, y: Tensor) -> JointMoments:
    found = JointMoments(x.shape[1], y.shape[1])
    found.update(x, y)
    return found


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_pca_is_the_truncated_singular_value_decomposition(rank: int) -> None:
    x = drawn(200, 8)
    u, s, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    expected = (u[:, :rank] * s[:rank]) @ v[:rank] + x.mean(0)
    found = linear_map(moments_of(x, x), rank, transcoder=False).code(x)
    torch.testing.assert_close(found.output, expected, atol=1e-3, rtol=1e-3)
    assert found.codes.shape == (200, rank)


def test_the_linear_map_of_full_rank_is_least_squares() -> None:
    x = drawn(300, 6)
    y = drawn(300, 4, seed=1) * 0.1 + x @ torch.randn(6, 4, generator=torch.Generator())
    found = linear_map(moments_of(x, y), 4, transcoder=True).code(x).output
    design = torch.cat([x, torch.ones(300, 1)], 1)
    expected = design @ torch.linalg.lstsq(design, y).solution
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-3)


def test_no_map_of_one_direction_beats_the_reduced_rank_regression() -> None:
    x = drawn(300, 6)
    y = x @ torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    error = (linear_map(moments_of(x, y), 1, transcoder=True).code(x).output - y).square().sum()
    centred_x, centred_y = x - x.mean(0), y - y.mean(0)
    generator = torch.Generator().manual_seed(4)
    for _ in range(50):
        read = centred_x @ torch.randn(6, 1, generator=generator)
        fitted = read @ torch.linalg.lstsq(read, centred_y).solution
        assert error <= (fitted - centred_y).square().sum() * (1 + 1e-5)


def test_the_neuron_basis_keeps_the_entries_furthest_from_their_mean() -> None:
    x = torch.tensor([[1.0, 5.0, -4.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    found = neuron_basis(moments_of(x, x), 1).code(x[:1])
    assert found.codes[0].nonzero().flatten().tolist() == [1]
    torch.testing.assert_close(found.output[0], torch.tensor([1.0, 5.0, -1.0]))


@pytest.mark.parametrize("architecture", ["topk", "standard", "jumprelu"])
def test_a_random_dictionary_is_as_sparse_and_no_worse_than_the_mean(architecture: str) -> None:
    sae, x = made(architecture), drawn(400, 6)
    contestant = random_dictionary(
        sae, moments_of(x, x), (x, x), l0=3.0, generator=torch.Generator().manual_seed(0)
    )
    found = contestant.code(x)
    assert found.codes.shape == (400, sae.cfg.d_sae)
    # Below k where a projection is negative: TopK of sae-lens is followed by a ReLU.
    assert float((found.codes != 0).sum(-1).double().mean()) == pytest.approx(3, abs=0.3)
    assert (found.output - x).square().sum() < (x - x.mean(0)).square().sum()


@pytest.mark.parametrize(
    "architecture", ["standard", "topk", "jumprelu", "gated", "skip_transcoder"]
)
def test_a_dictionarys_column_is_its_own_forward_pass(architecture: str) -> None:
    sae, x = made(architecture), drawn(16, 6)
    with torch.no_grad():
        found = of_dictionary(sae).code(x)
        torch.testing.assert_close(found.output, sae(x))
        torch.testing.assert_close(found.codes, sae.encode(x))
        assert np.isfinite(found.output.numpy()).all()
