"""Attention by distance, against loops over every query."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.attention.distances import at_distances, query_counts


def random_pattern(heads: int, pos: int) -> torch.Tensor:
    scores = torch.randn(heads, pos, pos, generator=torch.Generator().manual_seed(0))
    later = torch.ones(pos, pos).triu(1).bool()
    return scores.masked_fill(later, -torch.inf).softmax(-1)


@given(st.integers(2, 9), st.integers(1, 12))
def test_a_distance_is_counted_round_the_keys_before_each_query(pos: int, distance: int) -> None:
    pattern = random_pattern(2, pos)
    found = at_distances(pattern, 12)[:, distance - 1]
    keys = [list(range(i))[::-1] for i in range(pos)]
    expected = sum(pattern[:, i, keys[i][(distance - 1) % i]] for i in range(1, pos))
    torch.testing.assert_close(found, expected)


def test_every_distance_once_is_all_attention_to_earlier_keys_of_the_last_query() -> None:
    pattern = torch.zeros(1, 6, 6)
    pattern[0, 5] = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.2, 0.1])
    assert at_distances(pattern, 5)[0].tolist() == pytest.approx([0.2, 0.1, 0.3, 0.2, 0.1])


def test_queries_without_a_key_so_far_back_do_not_count() -> None:
    is_query = np.array([[False, True, True, True, True], [True, True, True, False, False]])
    counts = query_counts(is_query, 2)
    assert counts.tolist() == [
        [False, False, True, True, True],
        [False, False, True, False, False],
    ]
