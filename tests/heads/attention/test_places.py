"""Attention at chosen places, against loops over every query."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.heads.attention.places import attention_at, places_back, places_of_period


def random_pattern(batch: int, heads: int, pos: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, heads, pos, pos, generator=generator)
    later = torch.ones(pos, pos).triu(1).bool()
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def read(pattern: torch.Tensor, places) -> np.ndarray:
    index, weight = torch.from_numpy(places.index), torch.from_numpy(places.weight)
    return attention_at(pattern, index, weight).numpy()


@given(st.integers(2, 9), st.integers(1, 5))
def test_back_places_are_a_mean_over_queries(pos: int, back: int) -> None:
    is_query = np.ones((2, pos), bool)
    is_query[1, 0] = is_query[1, -1] = False
    pattern = random_pattern(2, 3, pos)
    found = read(pattern, places_back(is_query, n_labels=6, least=back))
    for b in range(2):
        queries = [i for i in range(1, pos) if is_query[b, i] and i >= back]
        for head in range(3):
            seen = [float(pattern[b, head, i, i - back]) for i in queries]
            expected = np.mean(seen) if seen else 0.0
            assert found[b, head, back - 1] == pytest.approx(expected, abs=1e-6)


def test_each_query_meets_every_earlier_key_once_before_any_twice() -> None:
    places = places_back(np.ones((1, 8), bool), n_labels=7)
    for slot, query in enumerate(range(1, 8)):
        keys = places.index[0, :query, slot] - query * 8
        assert sorted(keys) == list(range(query))


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
