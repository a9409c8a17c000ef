import numpy as np
import pytest
import torch

from interp.abilities.adapters import low_rank as module
from interp.abilities.adapters.low_rank import flat_error, low_rank, squared_norm, squared_residual


def matrix_of(values, rows, columns, seed=0):
    """A matrix with these singular values."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, len(values), generator=generator)).Q
    right = torch.linalg.qr(torch.randn(columns, len(values), generator=generator)).Q
    return left * torch.tensor(values) @ right.mT


def error(matrix, factors):
    return (squared_residual(matrix, factors) / squared_norm(matrix)) ** 0.5


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
@pytest.mark.parametrize("rank", [5, 6, 9])
def test_full_rank_gives_the_matrix_back(shape, rank):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    factors = low_rank(matrix, rank=max(rank, min(shape)), generator=torch.Generator())
    torch.testing.assert_close(factors.tall @ factors.wide, matrix, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("exact_up_to", [4096, 8])
def test_the_error_is_that_of_the_singular_values_left_out(monkeypatch, exact_up_to):
    monkeypatch.setattr(module, "EXACT_UP_TO", exact_up_to)
    values = [2.0 ** -(i / 2) for i in range(60)]
    matrix = matrix_of(values, 90, 70)
    factors = low_rank(matrix, rank=4, generator=torch.Generator().manual_seed(0))
    expected = np.sqrt(np.square(values[4:]).sum() / np.square(values).sum())
    assert error(matrix, factors) == pytest.approx(expected, rel=1e-4)
    balance = factors.tall.square().sum(0), factors.wide.square().sum(1)
    torch.testing.assert_close(balance[0], balance[1], rtol=1e-3, atol=1e-5)


def test_a_flat_spectrum_has_the_flat_error():
    matrix = matrix_of([1.0] * 20, 30, 20)
    factors = low_rank(matrix, rank=5, generator=torch.Generator())
    assert error(matrix, factors) == pytest.approx(flat_error((30, 20), 5), rel=1e-5)
    assert flat_error((30, 20), 20) == flat_error((30, 20), 99) == flat_error((0, 3), 1) == 0.0


def test_a_matrix_of_zeros_has_factors_of_zeros():
    factors = low_rank(torch.zeros(4, 3), rank=2, generator=torch.Generator())
    assert not factors.tall.any()
    assert not factors.wide.any()


def test_the_random_range_is_the_same_for_the_same_seed(monkeypatch):
    monkeypatch.setattr(module, "EXACT_UP_TO", 8)
    matrix = torch.randn(60, 50, generator=torch.Generator().manual_seed(2))
    first, again, other = (
        low_rank(matrix, rank=4, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.tall, again.tall)
    assert not torch.equal(first.tall, other.tall)
