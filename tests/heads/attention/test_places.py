"""Attention at chosen places, against loops over every query."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.attention.places import attention_at, places_of_period


def random_pattern(batch: int, heads: int, pos: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, heads, pos, pos, generator=generator)
    later = torch.ones(pos, pos).triu(1).bool()
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def read(pattern: torch.Tensor, places) -> np.ndarray:
    index, weight = torch.from_numpy(places.index), torch.from_numpy(places.weight)
    return attention_at(pattern, index, weight).numpy()


@given(st.integers(2, 5), st.integers(0, 1), st.integers(0, 1))
def test_places_of_a_period_are_those_of_equal_tokens(period: int, lag: int, start: int) -> None:
    pos = 12
    tokens = np.arange(pos) * 0 - 1
    tokens[start:] = np.resize(np.arange(period), pos - start)
    is_query = np.ones((1, pos), bool)
    is_query[:, :start] = False
    pattern = random_pattern(1, 2, pos)
    places = places_of_period(is_query, np.array([[period, 3]]), start=start, lag=lag)
    found = read(pattern, places)[0, :, 0]
    sums, n = np.zeros(2), 0
    for i in range(start, pos):
        keys = [j + lag for j in range(start, i) if tokens[j] == tokens[i]]
        n += bool(keys)
        sums += pattern[0, :, i, keys].sum(-1).numpy() if keys else 0
    assert places.n_queries[0] == n
    np.testing.assert_allclose(found, sums / n, atol=1e-6)


def test_padding_and_other_labels_do_not_change_a_label() -> None:
    is_query = np.ones((1, 9), bool)
    is_query[:, 7:] = False
    pattern = random_pattern(1, 2, 9)
    alone = places_of_period(is_query[:, :7], np.array([[2]]), start=0, lag=1)
    beside = places_of_period(is_query, np.array([[2, 4, 3]]), start=0, lag=1)
    shorter = pattern[:, :, :7, :7].contiguous()
    np.testing.assert_allclose(read(pattern, beside)[..., 0], read(shorter, alone)[..., 0])
