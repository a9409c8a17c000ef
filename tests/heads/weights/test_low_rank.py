"""Blocks of a low-rank product against the whole product."""

import pytest
import torch

from interp.heads.weights.low_rank import among_lowest, diagonal, is_largest, largest


@pytest.fixture(scope="module")
def factors() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    left = torch.randn(150, 5, generator=generator)
    return left, torch.randn(5, 150, generator=generator)


def test_the_diagonal_is_that_of_the_product(factors: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = factors
    torch.testing.assert_close(diagonal(left, right), (left @ right).diagonal())


def test_the_largest_entries_are_those_of_the_sorted_product(
    factors: tuple[torch.Tensor, torch.Tensor],
) -> None:
    left, right = factors
    values, columns = (left @ right).sort(dim=-1, descending=True)
    top = largest(left, right, 4)
    torch.testing.assert_close(top.values, values[:, :4])
    assert torch.equal(top.columns, columns[:, :4])


def test_among_lowest_and_is_largest_agree_with_a_sort(
    factors: tuple[torch.Tensor, torch.Tensor],
) -> None:
    left, right = factors
    ids = torch.tensor([3, 90, 149, 0])
    rank = (left @ right).argsort(dim=-1).argsort(dim=-1)
    assert torch.equal(among_lowest(left, right, ids.expand(150, -1), 7), rank[:, ids] < 7)
    assert torch.equal(is_largest(left, right, ids), rank[:, ids] == 149)


def test_a_row_all_alike_has_no_lowest_and_no_largest() -> None:
    left, right, ids = torch.zeros(3, 2), torch.ones(2, 9), torch.arange(3)
    assert not among_lowest(left, right, ids.expand(3, -1), 2).any()
    assert not is_largest(left, right, ids).any()
