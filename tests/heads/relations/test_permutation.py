import numpy as np
import pytest
from scipy import stats

from interp.heads.relations.permutation import LabelSums, drawn_labels, permuted


def _sums(
    seed: int, *, triplets: int = 60, heads: int = 5, labels: int = 4, effect: float = 0.0
) -> LabelSums:
    rng = np.random.default_rng(seed)
    values = rng.random((triplets, heads, labels)) / triplets
    values[:, 0, 0] += effect / triplets
    tokens = np.arange(triplets * labels).reshape(triplets, labels)
    tokens[::3, -1] = -1
    values[::3, :, -1] = 0.0
    return LabelSums(values, tokens, np.ones(heads, bool))


def _p(seed: int, draws: int = 199) -> np.ndarray:
    found = permuted([_sums(seed), _sums(seed + 10_000)], rng=np.random.default_rng(0), draws=draws)
    return np.array([[one.p, one.p_adj] for one in found])


def test_p_is_uniform_and_the_family_wise_error_holds_where_labels_are_exchangeable() -> None:
    p = np.array([_p(seed) for seed in range(200)])
    assert stats.kstest(p[:, 0, 0, 0], "uniform").pvalue > 0.01
    wrong = (p[:, :, 1] < 0.05).any(axis=(1, 2)).mean()
    assert wrong <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5
    assert p.min() > 0


def test_a_head_whose_true_tail_stands_out_is_found_and_no_other() -> None:
    planted, none = permuted(
        [_sums(0, effect=0.5), _sums(1)], rng=np.random.default_rng(0), draws=999
    )
    assert planted.p_adj[0] == pytest.approx(1 / 1000)
    assert (planted.p_adj[1:] > 0.05).all() and (none.p_adj > 0.05).all()


def test_mean_and_deviation_of_the_null_are_those_of_independent_labels() -> None:
    of = _sums(3)
    found = permuted([of], rng=np.random.default_rng(0), draws=20_000)[0]
    there = (of.tokens >= 0)[:, None]
    n = there.sum(axis=2)
    mean = (of.values * there).sum(axis=2) / n
    square = (((of.values - mean[..., None]) ** 2) * there).sum(axis=2) / n
    np.testing.assert_allclose(found.null_mean, mean.sum(axis=0))
    np.testing.assert_allclose(found.null_sd, np.sqrt(square.sum(axis=0)), rtol=0.03)
    np.testing.assert_allclose(found.score, of.values[..., 0].sum(axis=0))
    np.testing.assert_allclose(found.z, (found.score - found.null_mean) / found.null_sd)


def test_heads_that_are_not_tested_change_nothing_and_have_no_p() -> None:
    of = _sums(0, effect=0.2)
    some = permuted(
        [of._replace(tested=np.array([True, True, False, True, True]))],
        rng=np.random.default_rng(0),
        draws=99,
    )[0]
    four = permuted(
        [of._replace(values=np.delete(of.values, 2, axis=1), tested=np.ones(4, bool))],
        rng=np.random.default_rng(0),
        draws=99,
    )[0]
    for name in some._fields:
        values = getattr(some, name)
        assert np.isnan(values[2])
        np.testing.assert_array_equal(np.delete(values, 2), getattr(four, name))


def test_a_head_to_which_all_labels_are_alike_has_p_one() -> None:
    of = _sums(0)
    values = of.values.copy()
    values[:, 1] = np.where(of.tokens >= 0, 0.5, 0.0)
    found = permuted([of._replace(values=values)], rng=np.random.default_rng(0), draws=99)[0]
    assert found.z[1] == 0.0
    assert found.p[1] == found.p_adj[1] == 1.0


def test_every_label_is_as_likely_and_facts_told_again_draw_alike() -> None:
    fact = np.array([[7, 8, 9, -1], [7, 9, 8, -1], [7, 8, -1, -1], [3, 7, 8, 9]])
    labels = np.concatenate([b for _, b in drawn_labels(fact, rng=np.random.default_rng(0),
                                                        draws=6000)])  # fmt: skip
    token = np.take_along_axis(fact[None], labels[..., None].astype(int), axis=2)[..., 0]
    np.testing.assert_array_equal(token[:, 0], token[:, 1])
    for row, n in enumerate((3, 3, 2, 4)):
        counts = np.bincount(labels[:, row], minlength=n)
        np.testing.assert_allclose(counts / 6000, 1 / n, atol=0.03)
    np.testing.assert_array_equal(token[:, 2][token[:, 0] != 9], token[:, 0][token[:, 0] != 9])


def test_a_taste_for_some_words_told_in_many_sequences_is_one_observation() -> None:
    # Eight facts, each told forty times; a head likes tails by their word alone.
    rejected = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        taste = rng.random(8)
        true = np.repeat(np.arange(8), 40)
        others = np.array([rng.choice(np.delete(np.arange(8), t), 3, replace=False) for t in true])
        tokens = np.column_stack([true, others])
        chosen = np.repeat(rng.random(8) < 0.5, 40)
        of = LabelSums((taste[tokens] / 320)[chosen][:, None], tokens[chosen], np.ones(1, bool))
        if chosen.any():
            rejected.append(permuted([of], rng=rng, draws=199)[0].p[0] < 0.05)
    assert np.mean(rejected) < 0.15
