"""Selections are exactly the largest, however the rows come in blocks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interp.dictionaries.sparse.choice import Choice, starts_of
from interp.dictionaries.sparse.decoder import Bags
from interp.dictionaries.sparse.ranks import ONE_PROCESS, kth_largest
from interp.dictionaries.sparse.selection import OverBatch, PerRow, Selector, largest_per_row


def numbers(n_rows: int, width: int, seed: int) -> Tensor:
    """Distinct numbers around zero, so that every selection has one answer."""
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.randperm(n_rows * width, generator=generator).double()
    return (ranks - n_rows * width / 2).view(n_rows, width)


def shown(selector: Selector, z: Tensor, block: int):
    while True:
        for part in z.split(block):
            place = part.clone()
            selector.see(place)
            place.fill_(torch.nan)
        chosen = selector.choose()
        if chosen is not None:
            return chosen


@given(st.integers(0, 1000), st.integers(1, 40), st.sampled_from([16, 30, 64, 256, 1024]))
def test_the_largest_of_a_row_are_those_of_a_sort(seed: int, k: int, width: int) -> None:
    k = min(k, width)
    z = numbers(5, width, seed)
    values, columns = largest_per_row(z, k)
    expected = z.sort(dim=-1, descending=True).values[:, :k]
    assert torch.equal(values.sort(dim=-1, descending=True).values, expected)
    assert torch.equal(z.gather(1, columns), values)


def test_tied_values_are_chosen_once_each() -> None:
    z = torch.zeros(3, 512)
    z[:, 7:9] = 1.0
    values, columns = largest_per_row(z, 4)
    assert torch.equal(values.sort(dim=-1).values, torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 3))
    assert all(row.unique().numel() == 4 for row in columns)


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 9))
def test_per_row_does_not_depend_on_the_blocks(seed: int, k: int, block: int) -> None:
    z = numbers(8, 64, seed)
    chosen = shown(PerRow(k), z, block)
    dense = chosen.choice.to_coo(chosen.values).to_dense()
    kept = z >= z.topk(k).values.amin(dim=-1, keepdim=True)
    assert torch.equal(dense, z * kept)


@given(st.integers(0, 1000), st.floats(0.3, 40), st.integers(1, 200), st.booleans())
def test_over_the_batch_keeps_the_largest_positive_entries(
    seed: int, k: float, block: int, rising: bool
) -> None:
    z = numbers(150, 48, seed)
    if rising:  # the first rows say nothing of the rest
        z = z.flatten().sort().values.view(150, 48)
    chosen = shown(OverBatch(k, ONE_PROCESS), z, block)
    n = int(k * 150)
    least = max(float(z.flatten().topk(n).values[-1]), 1e-9) if n else torch.inf
    assert torch.equal(chosen.choice.to_coo(chosen.values).to_dense(), z * (z >= least))


def test_over_the_batch_keeps_every_positive_entry_when_there_are_few() -> None:
    z = numbers(20, 30, 0) - 250
    chosen = shown(OverBatch(25, ONE_PROCESS), z, 6)
    assert torch.equal(chosen.choice.to_coo(chosen.values).to_dense(), z.relu())


def test_a_batch_without_a_positive_entry_has_an_empty_choice() -> None:
    chosen = shown(OverBatch(3, ONE_PROCESS), -torch.rand(10, 20), 4)
    assert chosen.values.numel() == 0
    assert chosen.choice.starts.tolist() == [0] * 11


def test_a_share_of_less_than_one_entry_chooses_nothing() -> None:
    chosen = shown(OverBatch(0.1, ONE_PROCESS), torch.rand(8, 20), 3)
    assert chosen.values.numel() == 0


def test_the_kth_largest_is_minus_infinity_when_there_are_fewer() -> None:
    values = torch.tensor([3.0, 1.0, 2.0])
    assert [float(kth_largest(values, k)) for k in (1, 2, 3)] == [3, 2, 1]
    assert kth_largest(values, 4) == -torch.inf


@pytest.fixture
def choice() -> Choice:
    features = torch.tensor([0, 4, 5, 1, 2, 5, 3])
    rows = torch.tensor([0, 0, 0, 2, 2, 2, 3])
    return Choice(features, starts_of(rows, 5), 6)


def test_a_choice_reads_the_same_by_row_and_by_feature(choice: Choice) -> None:
    assert choice.rows.tolist() == [0, 0, 0, 2, 2, 2, 3]
    order, starts = choice.by_feature
    assert starts.tolist() == [0, 1, 2, 3, 4, 5, 7]
    assert choice.features[order].tolist() == sorted(choice.features.tolist())
    assert choice.rows[order].tolist() == [0, 2, 2, 3, 0, 0, 2]


def test_nested_bags_split_rows_at_the_widths(choice: Choice) -> None:
    bags = Bags.nested(choice, torch.tensor([2, 5, 6]))
    assert bags.of_entry.tolist() == [0, 1, 2, 6, 7, 8, 10]
    assert bags.starts.tolist() == [0, 1, 2, 3, 3, 3, 3, 4, 5, 6, 6, 7, 7, 7, 7, 7]
