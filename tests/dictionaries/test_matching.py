"""Matching: planted correspondences, the same answer from a full matrix, and nulls."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.dictionaries import matching
from interp.dictionaries.matching import (
    axes_permuted,
    best_matches,
    directions,
    one_to_one,
    random_directions,
    unit_rows,
)
from interp.results.errors import BadInput, Mismatch, Unsupported


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=generator(seed))


def test_a_shuffled_and_rescaled_dictionary_is_found_again() -> None:
    rows = drawn(40, 16)
    order = torch.randperm(40, generator=generator(1))
    scaled = rows[order] * torch.rand(40, 1, generator=generator(2)).add(0.1)
    for found in (best_matches(rows, scaled).index, one_to_one(rows, scaled).second):
        np.testing.assert_array_equal(order.numpy()[found], np.arange(40))
    np.testing.assert_allclose(one_to_one(rows, scaled).cosine, 1, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 7, 100, 1 << 24])
def test_blocks_of_any_size_give_the_full_matrix(monkeypatch, at_once: int) -> None:
    monkeypatch.setattr(matching, "_AT_ONCE", at_once)
    first, second = drawn(23, 8), drawn(31, 8, seed=1)
    cosine = torch.nn.functional.cosine_similarity(first[:, None], second[None], dim=-1)
    found = best_matches(first, second)
    np.testing.assert_allclose(found.cosine, cosine.max(1).values, atol=1e-6)
    np.testing.assert_array_equal(found.index, cosine.argmax(1))


def test_a_feature_is_not_its_own_neighbour() -> None:
    rows = torch.eye(5)
    rows[4] = torch.tensor([1.0, 0.1, 0, 0, 0])
    found = best_matches(rows, rows, skip_self=True)
    assert found.index[0] == 4
    assert found.index[4] == 0
    np.testing.assert_allclose(found.cosine[2], 0, atol=1e-6)


def test_opposite_directions_are_not_the_same_feature() -> None:
    rows = drawn(1, 6)
    assert best_matches(rows, -rows).cosine[0] == pytest.approx(-1, abs=1e-6)


def test_pairs_use_every_feature_once_where_best_matches_do_not() -> None:
    first = torch.tensor([[1.0, 0.0], [0.9, 0.1]])
    second = torch.tensor([[1.0, 0.02], [0.0, 1.0]])
    np.testing.assert_array_equal(best_matches(first, second).index, [0, 0])
    np.testing.assert_array_equal(one_to_one(first, second).second, [0, 1])


def test_mutual_matches_of_a_shuffled_dictionary_are_the_assignment(monkeypatch) -> None:
    rows = drawn(50, 12)
    noisy = (rows + 0.05 * drawn(50, 12, seed=3))[torch.randperm(50, generator=generator(4))]
    exact = one_to_one(rows, noisy)
    monkeypatch.setattr(matching, "EXACT_PAIRS", 10)
    monkeypatch.setattr(matching, "_AT_ONCE", 400)
    mutual = one_to_one(rows, noisy)
    for one, other in zip(exact, mutual, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_permuted_axes_keep_angles_within_and_lose_them_across() -> None:
    rows = drawn(30, 64)
    permuted = axes_permuted(rows, generator=generator())
    torch.testing.assert_close(unit_rows(permuted) @ unit_rows(permuted).T,
                               unit_rows(rows) @ unit_rows(rows).T)  # fmt: skip
    assert best_matches(rows, permuted).cosine.max() < 0.7


def test_random_directions_share_nothing_in_many_dimensions() -> None:
    one = random_directions(500, 128, generator=generator(0))
    other = random_directions(500, 128, generator=generator(1))
    torch.testing.assert_close(one.norm(dim=1), torch.ones(500))
    assert best_matches(one, other).cosine.max() < 0.7


def test_a_feature_without_a_direction_has_no_cosine() -> None:
    rows = drawn(3, 4)
    rows[1] = 0
    assert np.isnan(best_matches(rows, drawn(5, 4)).cosine).tolist() == [False, True, False]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(Mismatch, match="width 4 and 5"):
        best_matches(drawn(2, 4), drawn(2, 5))
    with pytest.raises(BadInput, match="no neighbours"):
        best_matches(drawn(1, 4), drawn(1, 4), skip_self=True)
    nothing = SimpleNamespace(cfg=SimpleNamespace(architecture=lambda: "odd"))
    with pytest.raises(Unsupported, match="no encoder"):
        directions(nothing, "encoder")
