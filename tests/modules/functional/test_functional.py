"""Functional experts: published thresholds, planted truths, chance, and what is refused."""

from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from interp.modules.functional import FunctionalExperts, functional_experts
from interp.modules.functional.enrichment import odds_ratio, tails, top_units
from interp.modules.functional.groups import multiplicities, multiset_p
from interp.modules.partition import Partition
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance
from interp.results.significance import benjamini_hochberg
from tests.neurons.making import some_scores

SITE = "blocks.0.mlp.hook_post"


def a_partition(labels: np.ndarray, *, site: str = SITE, dead: np.ndarray | None = None):
    return Partition.of(
        labels.astype(np.int32),
        site=site,
        kind="planted",
        model_hash=None,
        dead=dead,
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )


def blocks(n: int, n_experts: int) -> Partition:
    return a_partition(np.arange(n) // (n // n_experts))


def scores_with(score: np.ndarray, **changes) -> NeuronScores:
    found = some_scores(*score.shape)
    return replace(found, score=score, ap_positive=score, **changes)


def planted(n: int, n_experts: int, homes: list[int], k: int, *, seed: int = 0) -> NeuronScores:
    """The k best neurons of function f are all in expert homes[f]."""
    score = np.random.default_rng(seed).uniform(0.4, 0.6, (len(homes), n))
    size = n // n_experts
    for function, home in enumerate(homes):
        score[function, home * size : home * size + k] += 0.3
    return scores_with(score)


@pytest.mark.parametrize(
    ("n", "size", "k", "threshold", "tail"),
    [
        (3072, 192, 30, 8, 3.6e-4),
        (49152, 3072, 491, 49, 9.0e-4),
        (256, 16, 25, 7, 2.3e-4),
        (192, 16, 19, 7, 2.0e-4),
    ],
)
def test_the_published_thresholds_come_out(
    n: int, size: int, k: int, threshold: int, tail: float
) -> None:
    found = tails(n, k, np.array([size]))[0]
    assert int(np.argmax(found <= 0.001)) == threshold
    assert found[threshold] == pytest.approx(tail, rel=0.05)
    assert found[threshold - 1] > 0.001


def test_the_tail_is_the_share_of_all_sets_that_hold_as_many() -> None:
    sets = [len({0, 1, 2} & set(chosen)) for chosen in combinations(range(8), 4)]
    found = tails(8, 4, np.array([3]))[0]
    for count in range(5):
        assert found[count] == pytest.approx(sum(s >= count for s in sets) / comb(8, 4))


def test_all_of_the_best_in_one_expert_is_found_exactly_with_a_degree_of_e() -> None:
    homes = [2, 5, 2]
    found = functional_experts([planted(192, 12, homes, 16)], [blocks(192, 12)], fraction=1 / 12)
    assert found.layers[0].k == 16
    expected = np.zeros((3, 12), bool)
    expected[range(3), homes] = True
    for rule in ("fdr", "published"):
        np.testing.assert_array_equal(found.functional(rule)[0], expected)
        assert found.degree(0, rule).value == pytest.approx(12.0)
        assert found.proportion(0, rule).value == pytest.approx(1 / 12)
        assert found.degree(0, rule).p == pytest.approx(1 / 201)
    assert found.functions_with_an_expert().tolist() == [3]
    assert found.enrichment()[0, 0, 2] == pytest.approx(12.0)


def test_permuting_the_neurons_changes_no_count() -> None:
    order = np.random.default_rng(3).permutation(192)
    scores, partition = planted(192, 12, [1, 4], 10), blocks(192, 12)
    moved = a_partition(partition.labels[order])
    # Experts are numbered by their smallest member: undo the numbering before comparing.
    same = partition.labels[order][[moved.members(e)[0] for e in range(12)]]
    one = functional_experts([scores], [partition])
    two = functional_experts([scores_with(scores.score[:, order])], [moved])
    np.testing.assert_array_equal(two.counts, one.counts[:, :, same])
    np.testing.assert_array_equal(two.p, one.p[:, :, same])


def test_chance_calls_no_more_experts_functional_than_the_tail_allows() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        partition = a_partition(rng.permutation(192) // 16)
        scores = scores_with(rng.uniform(size=(1, 192)))
        found += functional_experts([scores], [partition], draws=1).functional("published").sum()
    tail = tails(192, 19, np.array([16]))[0][7]
    assert found <= stats.binom.ppf(0.999, 200 * 12, tail)


def test_the_null_of_random_partitions_is_as_frequent_as_the_exact_test_says() -> None:
    scores = scores_with(np.random.default_rng(1).uniform(size=(6, 192)))
    found = functional_experts([scores], [blocks(192, 12)], draws=400, alpha=0.05)
    share = found.null_proportion[1].mean()
    tail = tails(192, 19, np.array([16]))[0]
    expected = tail[int(np.argmax(tail <= 0.05))]
    n = 400 * 6 * 12
    assert abs(share - expected) < 4 * np.sqrt(expected / n)


def test_dead_neurons_take_no_part_in_the_exact_test() -> None:
    """Experts of live neurons only are no specialists: the published rule calls them functional."""
    rng = np.random.default_rng(2)
    dead = np.arange(192) >= 64
    score = rng.uniform(0.5, 0.9, (6, 192))
    score[:, dead] = 0.5
    found = functional_experts(
        [scores_with(score, dead=dead)], [a_partition(np.arange(192) // 16, dead=dead)]
    )
    assert found.live.tolist() == [[16] * 4 + [0] * 8]
    assert found.counts[:, :, 4:].sum() == 0
    assert not found.functional("fdr").any()
    assert np.nanmean(found.enrichment("published")[:, :, :4]) == pytest.approx(3.0)
    assert np.nanmean(found.enrichment("fdr")[:, :, :4]) == pytest.approx(1.0)


def test_ties_are_not_broken_by_index() -> None:
    rng = np.random.default_rng(0)
    top = top_units(np.ones((1, 1000)), 100, eligible=np.ones(1000, bool), rng=rng)
    assert abs(top.mean() - 499.5) < 4 * 288.7 / np.sqrt(100)
    assert len(set(top[0])) == 100


def test_the_multiset_test_is_the_exact_test_without_repetition() -> None:
    top = np.array([[0, 1, 2], [3, 4, 5]])
    sizes = np.full(4, 4)
    counts = np.array([4, 2, 0, 0])
    found = multiset_p(
        counts, multiplicities(top, 16), sizes=sizes, draws=10, rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(found, stats.hypergeom.sf(counts - 1, 16, 6, 4))


def test_a_neuron_of_many_sub_functions_is_no_evidence_for_its_expert() -> None:
    """One neuron, best of ten sub-functions: the binomial test is fooled, partitions are not."""
    top = np.array([[0, 10 + f] for f in range(10)])
    labels = np.arange(64) // 16
    counts = np.bincount(labels[top].ravel(), minlength=4)
    found = multiset_p(
        counts,
        multiplicities(top, 64),
        sizes=np.full(4, 16),
        draws=4999,
        rng=np.random.default_rng(0),
    )
    brute = _brute_force_p(multiplicities(top, 64), counts[0])
    assert found[0] == pytest.approx(brute, abs=0.03)
    assert stats.binom.sf(counts[0] - 1, 20, 0.25) < 1e-3 < found[0]


def _brute_force_p(multiplicity: np.ndarray, count: int) -> float:
    rng = np.random.default_rng(9)
    held = [multiplicity[rng.permutation(64)[:16]].sum() for _ in range(4000)]
    return float(np.mean(np.array(held) >= count))


def test_the_odds_ratio_and_its_interval_are_those_of_the_table_with_a_half_added() -> None:
    ratio, low, high = odds_ratio(np.array([[7]]), n=192, k=19, sizes=np.array([16]))[0, 0]
    a, b, c, d = 7.5, 12.5, 9.5, 192 - 19 - 16 + 7 + 0.5
    assert ratio == pytest.approx(a * d / (b * c))
    half = 1.959964 * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    assert (low, high) == pytest.approx((ratio * np.exp(-half), ratio * np.exp(half)))


def test_sub_functions_of_a_group_are_tested_together(tmp_path: Path) -> None:
    scores = planted(192, 12, [3, 3, 3], 4)
    functions = tuple(replace(f, group="g") for f in scores.functions)
    found = functional_experts([replace(scores, functions=functions)], [blocks(192, 12)])
    assert found.groups == ("g",)
    assert found.group_counts[0, 0].sum() == 3 * 19
    assert int(found.group_p[0, 0].argmin()) == 3


def test_the_untrained_model_is_counted_in_the_same_experts() -> None:
    noise = np.random.default_rng(5).uniform(0.4, 0.6, (3, 192))
    same = planted(192, 12, [1, 2, 3], 12)
    scores = replace(
        same,
        baseline={"random weights": noise, "itself": same.score},
        baseline_models={"random weights": None, "itself": None},
    )
    found = functional_experts([scores], [blocks(192, 12)])
    assert found.baseline["random weights"].tolist() == [[0], [0]]
    own = [found.functions_with_an_expert(rule).tolist() for rule in ("fdr", "published")]
    assert found.baseline["itself"].tolist() == own
    assert "3 of 3 functions have an expert (random weights 0, itself 3)" in str(found)


def test_q_is_adjusted_over_layers_too() -> None:
    sites = [f"blocks.{i}.mlp.hook_post" for i in range(2)]
    scores = [replace(planted(192, 12, [1, 2], 7, seed=i), site=s) for i, s in enumerate(sites)]
    parts = [replace(blocks(192, 12), site=s) for s in sites]
    both = functional_experts(scores, parts[::-1])
    alone = functional_experts(scores[:1], parts[:1])
    np.testing.assert_array_equal(both.p[0], alone.p[0])
    np.testing.assert_allclose(both.q.ravel(), benjamini_hochberg(both.p.ravel()))


def test_what_is_saved_is_loaded_and_shown_with_its_null(tmp_path: Path) -> None:
    scores = scores_with(np.random.default_rng(0).uniform(size=(2, 192)))
    scores = replace(scores, baseline={"random weights": scores.score})
    hostile = replace(scores.functions[0], name="<script>alert(1)</script>")
    found = functional_experts(
        [replace(scores, functions=(hostile, scores.functions[1]))], [blocks(192, 12)]
    )
    again = FunctionalExperts.load(found.save(tmp_path / "found"))
    assert again.to_json() == found.to_json()
    np.testing.assert_array_equal(again.q, found.q)
    assert "<script>" not in again._repr_html_()
    assert "random" in str(again)


def test_the_same_seed_gives_the_same_finding(tmp_path: Path) -> None:
    scores, partition = planted(192, 12, [1, 4], 10), blocks(192, 12)
    one, two = (functional_experts([scores], [partition], seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.null_degree, two.null_degree)


def test_what_cannot_be_significant_is_refused_with_the_smallest_p() -> None:
    scores = scores_with(np.random.default_rng(0).uniform(size=(2, 12)))
    with pytest.raises(BadInput, match="no p below .* can come out, and alpha is 0.001"):
        functional_experts([scores], [blocks(12, 6)])


def test_findings_that_do_not_belong_together_are_refused() -> None:
    scores = scores_with(np.random.default_rng(0).uniform(size=(2, 192)))
    with pytest.raises(Mismatch, match="192 neurons and a partition of 96"):
        functional_experts([scores], [blocks(96, 12)])
    with pytest.raises(Mismatch, match="one of each for every site"):
        functional_experts([scores], [replace(blocks(192, 12), site="blocks.1.mlp.hook_post")])
    with pytest.raises(Mismatch, match="of model aaa"):
        provenance = replace(scores.provenance, model_hash="a" * 64)
        functional_experts(
            [replace(scores, provenance=provenance)],
            [replace(blocks(192, 12), model_hash="b" * 64)],
        )
    other = replace(scores, site="blocks.1.mlp.hook_post", measure="held-out accuracy")
    with pytest.raises(Mismatch, match="by held-out accuracy, .* by average precision"):
        functional_experts(
            [scores, other], [blocks(192, 12), replace(blocks(192, 12), site=other.site)]
        )
    with pytest.raises(BadInput, match="fraction 0.9"):
        functional_experts([scores], [blocks(192, 12)], fraction=0.9)
