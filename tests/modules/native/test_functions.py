import numpy as np
import pytest
from scipy import stats

from interp.modules.native.functions import function_routing
from interp.modules.native.overlap import independence_p, independent_pairs
from interp.modules.native.table import RoutingTable
from interp.results.errors import BadInput
from tests.modules.native.test_load import table_of

PREFERENCE = np.array([[8, 1, 1, 1, 1], [1, 8, 1, 1, 1], [1, 1, 8, 1, 1]]) / 12


def documents(preference: np.ndarray, *, n: int = 60, tokens: int = 30, seed: int = 0):
    """Documents of three functions whose tokens draw experts by `preference` of the function."""
    rng = np.random.default_rng(seed)
    function = np.arange(n) % len(preference)
    chosen = np.stack([rng.multinomial(tokens, preference[f]) for f in function])[:, None]
    return chosen.astype(np.int64), function


def routing(table: RoutingTable, seed: int = 0, permutations: int = 199):
    rng = np.random.default_rng(seed)
    return function_routing(table, label="function", rng=rng, permutations=permutations)


def test_a_planted_expert_of_each_function_is_found_and_no_other():
    found = routing(table_of(*documents(PREFERENCE)))
    expected = np.zeros((1, 3, 5), bool)
    expected[0, np.arange(3), np.arange(3)] = True
    assert np.array_equal(found.functional(), expected)
    assert (found.lift[expected] > 2).all()
    assert found.unit == "documents"
    assert found.n_units.tolist() == [20, 20, 20]
    assert found.information_p[0] == 1 / 200


def test_renaming_experts_renames_what_is_found():
    chosen, function = documents(PREFERENCE)
    order = [3, 0, 4, 1, 2]
    plain, renamed = (
        routing(table_of(chosen, function)),
        routing(table_of(chosen[:, :, order], function)),
    )
    for name in ("lift", "p", "p_exact", "q", "chosen"):
        np.testing.assert_allclose(getattr(renamed, name), getattr(plain, name)[:, :, order])
    np.testing.assert_allclose(renamed.information, plain.information, atol=1e-12)


def test_the_exact_tail_is_scipys_and_counts_are_those_of_the_documents():
    chosen, function = documents(PREFERENCE)
    found = routing(table_of(chosen, function))
    by_hand = np.stack([chosen[function == f, 0].sum(axis=0) for f in range(3)])
    assert np.array_equal(found.chosen[0], by_hand)
    c = by_hand[1, 4]
    tail = stats.hypergeom(1800, by_hand[:, 4].sum(), 600).sf(c - 1)
    assert found.p_exact[0, 1, 4] == pytest.approx(tail)


def test_documents_with_tastes_of_their_own_fool_the_exact_test_but_not_the_permutation():
    rng = np.random.default_rng(5)
    taste = rng.dirichlet(np.full(5, 0.1), size=60)
    chosen = np.stack([rng.multinomial(200, t) for t in taste])[:, None].astype(np.int64)
    found = routing(table_of(chosen, np.arange(60) % 3))
    assert (found.p_exact < 1e-6).sum() >= 3
    assert not found.functional().any()
    assert found.information_p[0] > 0.05


def test_permuted_p_is_uniform_without_functions():
    least = []
    for seed in range(40):
        even = np.full((3, 5), 0.2)
        found = routing(table_of(*documents(even, n=30, seed=seed)), seed=seed, permutations=49)
        least.append(found.p[0, 0, 0])
    assert stats.kstest(least, "uniform").pvalue > 0.01


def test_labels_of_tokens_are_tested_exactly_and_unlabelled_ones_left_out():
    chosen, function = documents(PREFERENCE, n=6, tokens=300)
    plain = table_of(chosen, function)
    mixed = plain._replace(document=np.arange(6) // 3)
    mixed.function[5] = -1
    found = routing(mixed)
    assert found.unit == "tokens"
    assert np.array_equal(found.p, found.p_exact)
    assert found.smallest_p == 0
    assert found.n_tokens.tolist() == [600, 600, 300]
    assert abs(found.information_null.mean()) < 0.005


def test_too_few_permutations_to_find_a_single_expert_are_told_of():
    table = table_of(*documents(PREFERENCE))
    assert routing(table, permutations=19).needed_at_smallest() == 15
    assert routing(table, permutations=299).needed_at_smallest() == 1


def test_one_function_only_is_refused():
    chosen, _ = documents(PREFERENCE)
    with pytest.raises(BadInput, match="'function' has 1 value"):
        routing(table_of(chosen, np.zeros(60, np.int64)))


def test_independent_pairs_have_the_row_sums_of_their_loads():
    n_chosen = np.array([50, 40, 30, 60, 20])
    pairs = independent_pairs(n_chosen, 2)
    assert np.isnan(np.diagonal(pairs)).all()
    np.testing.assert_allclose(np.nansum(pairs, axis=1), n_chosen, rtol=1e-6)
    np.testing.assert_allclose(pairs, pairs.T)


def test_even_independent_pairs_are_all_alike():
    pairs = independent_pairs(np.full(4, 30), 2)
    np.testing.assert_allclose(pairs[~np.eye(4, dtype=bool)], 10, rtol=1e-6)


def test_pairs_drawn_independently_pass_and_planted_company_does_not():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(100):
        hot = rng.permuted(np.repeat([[1, 1, 0, 0, 0, 0]], 300, axis=0), axis=1)
        together = hot.T @ hot
        p.append(independence_p(together, independent_pairs(np.diagonal(together), 2)))
    assert stats.kstest(p, "uniform").pvalue > 0.01
    hot = np.repeat([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], 100, axis=0)
    together = hot.T @ hot
    expected = independent_pairs(np.diagonal(together), 2)
    assert independence_p(together, expected) < 1e-50
    assert together[0, 1] / expected[0, 1] == pytest.approx(5)


def test_one_choice_a_token_has_no_pairs():
    assert np.isnan(independent_pairs(np.array([5, 6, 7]), 1)).all()
    assert np.isnan(independence_p(np.zeros((3, 3), np.int64), np.full((3, 3), np.nan)))
