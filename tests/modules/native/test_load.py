import numpy as np
import pytest
from scipy import stats

from interp.modules.native.information import entropy_bits, exceedance, mutual_information
from interp.modules.native.load import router_load, uniform_p, variation
from interp.modules.native.table import RoutingTable


def table_of(chosen: np.ndarray, function: np.ndarray | None = None) -> RoutingTable:
    """A routing table with one key a document; `chosen` is documents x layers x experts."""
    n, layers, experts = chosen.shape
    k = 1
    return RoutingTable(
        document=np.arange(n),
        function=np.full(n, -1) if function is None else function,
        n_tokens=chosen[:, 0].sum(axis=1) // k,
        chosen=chosen,
        probability=chosen.astype(float),
        entropy=np.zeros((n, layers)),
        together=np.zeros((layers, experts, experts), np.int64),
        group=np.zeros(0, np.int64),
        capacity=np.zeros((0, layers, 10), np.int64),
    )


def found(chosen: np.ndarray, seed: int = 0):
    rng = np.random.default_rng(seed)
    return router_load(table_of(chosen), rng=rng, draws=100, permutations=99)


def test_even_load_has_no_variation_and_all_the_entropy():
    load = found(np.full((20, 1, 8), 5))
    assert load.cv[0] == 0
    assert load.load_entropy[0] == pytest.approx(3.0, abs=1e-12)
    assert load.cv_p[0] == 1.0
    assert load.chi_square_p[0] == pytest.approx(1.0)


def test_one_expert_for_all_has_the_largest_variation_and_no_entropy():
    chosen = np.zeros((20, 1, 8), np.int64)
    chosen[:, 0, 3] = 40
    load = found(chosen)
    assert load.cv[0] == pytest.approx(np.sqrt(7))
    assert load.load_entropy[0] == 0
    assert load.cv_p[0] == 0.01
    assert load.share[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_documents_that_each_use_one_expert_do_not_make_one_preferred():
    """Chi-square takes the tokens as independent and is fooled; renaming experts is not."""
    chosen = np.zeros((24, 1, 8), np.int64)
    chosen[np.arange(24), 0, np.random.default_rng(3).integers(0, 8, 24)] = 100
    load = found(chosen)
    assert load.chi_square_p[0] < 1e-50
    assert load.cv_p[0] > 0.05
    assert load.cv_null[0] == pytest.approx(load.cv[0], rel=0.6)


def test_chi_square_p_is_uniform_when_k_distinct_experts_are_drawn_evenly():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        hot = rng.permuted(np.repeat([[1, 1, 1, 0, 0, 0, 0, 0]], 200, axis=0), axis=1)
        p.append(uniform_p(hot.sum(axis=0)[None], 200)[0])
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_the_interval_of_a_share_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        chosen = rng.multinomial(20, [0.4, 0.3, 0.2, 0.1], size=(60, 1)).astype(np.int64)
        low, high = found(chosen, seed).share_interval[0, 0]
        hits += low <= 0.4 <= high
    assert 87 <= hits <= 100


def test_one_document_has_no_interval():
    load = found(np.full((1, 1, 4), 5))
    assert np.isnan(load.share_interval).all()
    assert np.isnan(load.cv_interval).all()
    assert load.n_documents == 1


def test_variation_is_that_of_the_loads_themselves():
    assert variation(np.array([1, 2, 3, 6])) == pytest.approx(np.std([1, 2, 3, 6]) / 3)


def test_entropy_of_counts_is_scipys():
    counts = np.random.default_rng(0).integers(0, 9, (5, 7))
    expected = [stats.entropy(row, base=2) for row in counts]
    np.testing.assert_allclose(entropy_bits(counts), expected, atol=1e-12)
    assert np.isnan(entropy_bits(np.zeros((1, 3))))[0]


def test_a_router_that_reads_the_function_tells_all_of_it():
    """Six functions with an expert each, as many tokens: log2 6 bits, less a small correction."""
    table = np.eye(6, dtype=np.int64) * 1000
    assert mutual_information(table) == pytest.approx(np.log2(6), abs=2e-3)


def test_independent_labels_tell_nothing_on_average_after_the_correction():
    rng = np.random.default_rng(0)
    row, column = [60, 40, 50], [30, 40, 50, 30]
    tables = stats.random_table(row, column).rvs(2000, random_state=rng).astype(np.int64)
    values = mutual_information(tables)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(2000) + 5e-4
    plug_in = (
        entropy_bits(np.array(row)) + entropy_bits(np.array(column))
        - entropy_bits(tables.reshape(2000, -1))
    )  # fmt: skip
    assert plug_in.mean() > 0.02


def test_an_exceedance_counts_draws_as_large_and_itself():
    null = np.array([[1.0], [2.0], [3.0]])
    assert exceedance(np.array([2.0]), null).tolist() == [0.75]
    assert exceedance(np.array([4.0]), null).tolist() == [0.25]
    assert np.isnan(exceedance(np.array([np.nan]), null))[0]
