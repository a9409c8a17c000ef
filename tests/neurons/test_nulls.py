"""What chance gives: by enumeration, by simulation, and on planted data."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from interp.neurons.average_precision import average_precision
from interp.neurons.functions import Exchanged, LabelledFunctions
from interp.neurons.nulls import Chance, chance_of, expected_average_precision
from interp.neurons.pooled_null import PooledNull, false_discovery
from interp.neurons.relabelling import shifted_labels, shuffled_labels
from interp.neurons.score import score_values
from interp.neurons.scores import NeuronScores
from interp.results.provenance import Provenance
from tests.neurons.making import a_function


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_placing(n: int, n_positive: int) -> torch.Tensor:
    placings = list(itertools.combinations(range(n), n_positive))
    labels = torch.zeros(len(placings), n, dtype=torch.int8)
    for row, placing in zip(labels, placings, strict=True):
        row[list(placing)] = 1
    return labels


def sparse_units(n_rows: int, n_units: int, *, seed: int) -> torch.Tensor:
    """Units that fire on all rows, or on few, in even steps of the logarithm."""
    draw = generator(seed)
    values = torch.rand(n_rows, n_units, generator=draw) + 0.01
    rates = torch.logspace(-1.5, 0, n_units)
    return values * (torch.rand(n_rows, n_units, generator=draw) < rates)


def random_labels(prevalences: list[float], n_rows: int, *, seed: int) -> torch.Tensor:
    drawn = torch.rand(len(prevalences), n_rows, generator=generator(seed))
    return (drawn < torch.tensor(prevalences)[:, None]).to(torch.int8)


def scored(
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    draws: int,
    seed: int = 0,
    exchanged: Exchanged = "rows",
) -> NeuronScores:
    functions = tuple(
        replace(a_function(f"f{i}", n=int(row.sum())), exchanged=exchanged)
        for i, row in enumerate(labels)
    )
    return score_values(
        scores.float(),
        LabelledFunctions.of_rows(functions, labels.numpy()),
        site="blocks.0.mlp.hook_post",
        provenance=Provenance.collect(
            "a test", model_hash=None, corpus_hash=None, seed=seed, settings={}
        ),
        n_permutations=draws,
        seed=seed,
    )


@pytest.mark.parametrize("n_positive", [1, 2, 3, 4, 7])
def test_mean_and_spread_are_those_of_all_placings_with_ties_and_without(n_positive):
    columns = [[3, 3, 2, 1, 1, 1, 0, -1], [1, 0, 0, 0, 0, 5, 0, 2], [5, 2, 8, 1, 9, 3, 4, 7]]
    scores = torch.tensor(columns, dtype=torch.float32).T.contiguous()
    labels = every_placing(8, n_positive)
    all_placings = average_precision(scores, labels)
    chance = chance_of(scores, labels[:1])
    for sign, values in (("positive", all_placings.positive), ("negative", all_placings.negative)):
        mean, sd = (getattr(chance, f"{sign}_{what}")[0] for what in ("mean", "sd"))
        np.testing.assert_allclose(mean, values.mean(0).numpy(), atol=1e-12)
        np.testing.assert_allclose(sd, values.std(0, correction=0).numpy(), atol=1e-12)
    for unit in range(3):
        expected = expected_average_precision(8, n_positive, float(chance.harmonic[0, unit]))
        assert expected == pytest.approx(chance.positive_mean[0, unit], abs=1e-12)
    assert expected_average_precision(8, n_positive) == pytest.approx(chance.positive_mean[0, 2])


def test_the_published_examples_of_chance():
    assert expected_average_precision(200, 100) == pytest.approx(0.5123, abs=5e-5)
    assert expected_average_precision(1000, 100) == pytest.approx(0.1058, abs=5e-5)


def test_rows_that_are_no_part_do_not_count():
    scores = sparse_units(90, 4, seed=0)
    labels = random_labels([0.3], 90, seed=1)
    labels[0, 60:] = -1
    whole, part = chance_of(scores, labels), chance_of(scores[:60], labels[:, :60])
    for name in Chance._fields:
        np.testing.assert_array_equal(getattr(whole, name), getattr(part, name))


def test_a_constant_unit_has_the_prevalence_no_spread_and_no_p():
    scores = torch.cat([torch.full((80, 1), 2.0), sparse_units(80, 3, seed=2)], dim=1)
    labels = random_labels([0.4], 80, seed=3)
    chance = chance_of(scores, labels)
    assert chance.positive_mean[0, 0] == pytest.approx(float(labels.double().mean()), abs=1e-12)
    assert chance.positive_sd[0, 0] == 0.0
    found = scored(scores, labels, draws=20)
    assert np.isnan([found.p[0, 0], found.q[0, 0], found.smallest_p[0, 0]]).all()
    assert found.dead.tolist() == [True, False, False, False]
    assert not np.isnan(found.q[0, 1:]).any()


def test_p_of_noise_units_is_uniform_over_all_and_never_too_small_for_sparse_or_dense():
    p = [
        scored(
            sparse_units(300, 160, seed=seed),
            random_labels([0.5, 0.1], 300, seed=1000 + seed),
            draws=200,
            seed=seed,
        ).p
        for seed in range(20)
    ]
    for of_function in np.stack(p, axis=1):
        for level in (0.5, 0.1, 0.01):
            # Units of one draw share its labels: the error is taken over draws.
            below = of_function <= level
            for units in (slice(0, 50), slice(110, 160), slice(None)):
                shares = below[:, units].mean(axis=1)
                error = shares.std(ddof=1) / np.sqrt(len(shares))
                assert shares.mean() < 1.1 * level + 3 * error
            assert below.mean() > 0.85 * level - 3 * error


def test_the_best_of_noise_units_has_a_uniform_family_wise_p():
    best = []
    for seed in range(150):
        found = scored(
            torch.randn(60, 30, generator=generator(seed)),
            random_labels([0.5], 60, seed=5000 + seed),
            draws=39,
            seed=seed,
        )
        best.append(np.nanmin(found.p_max_t))
    jittered = np.array(best) - np.random.default_rng(0).uniform(0, 1 / 40, len(best))
    assert stats.kstest(jittered, "uniform").pvalue > 0.01
    assert np.mean(np.array(best) <= 0.05) < stats.binom.ppf(0.999, 150, 0.05) / 150


def test_planted_detectors_are_found_and_false_discoveries_kept_to_the_rate_asked():
    false, found_share = [], []
    for seed in range(12):
        scores = sparse_units(500, 300, seed=seed)
        labels = random_labels([0.5, 0.3], 500, seed=900 + seed)
        for function, first in ((0, 20), (1, 160)):
            scores[:, first : first + 20] += 0.5 * labels[function][:, None]
        truth = np.zeros((2, 300), bool)
        truth[0, 20:40], truth[1, 160:180] = True, True
        passed = scored(scores, labels, draws=100, seed=seed).q <= 0.05
        false.append((passed & ~truth).sum() / max(1, passed.sum()))
        found_share.append(passed[truth].mean())
    assert np.mean(false) < 0.05 + 3 * np.std(false) / np.sqrt(len(false))
    assert np.mean(found_share) > 0.8


def test_a_lone_sparse_detector_passes_although_no_other_unit_is_tied_like_it():
    labels = random_labels([0.5], 400, seed=7)
    scores = torch.randn(400, 300, generator=generator(7))
    firing = labels[0].nonzero()[:15, 0]
    scores[:, 11] = 0.0
    scores[firing, 11] = 1.0 + torch.arange(15)
    found = scored(scores, labels, draws=100)
    assert found.q[0, 11] < 0.05
    assert found.smallest_p[0, 11] <= 1 / 20_000


def test_pools_merge_in_any_order():
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=(5, 4)), rng.uniform(2, 6, 4)) for _ in range(3)]
    forward, backward = PooledNull(1), PooledNull(1)
    for z, harmonic in parts:
        forward.update(0, z, harmonic)
    for z, harmonic in reversed(parts):
        later = PooledNull(1)
        later.update(0, z, harmonic)
        backward.merge(later)
    np.testing.assert_array_equal(forward.counts, backward.counts)
    assert forward.counts.sum() == 60


def test_a_pooled_p_is_the_share_of_the_null_at_least_as_large():
    pool, z = PooledNull(1), np.arange(100.0)[None].T / 2
    pool.update(0, z, np.array([3.0]))
    found = pool.finish(np.array([[10.0, 0.0, np.nan]]), np.full((1, 3), 3.0))
    np.testing.assert_allclose(found.p[0, :2], [81 / 101, 1.0])
    assert np.isnan(found.p[0, 2])
    assert found.smallest[0, 0] == pytest.approx(1 / 101)


@pytest.mark.parametrize("shuffle", [shuffled_labels, shifted_labels])
def test_shuffles_keep_the_counts_and_the_rows_left_out_and_repeat_with_their_seed(shuffle):
    labels = random_labels([0.3], 50, seed=8)[0].numpy()
    labels[::7] = -1
    drawn = shuffle(labels, 30, np.random.default_rng(3))
    assert (drawn[:, ::7] == -1).all()
    assert ((drawn == 1).sum(axis=1) == (labels == 1).sum()).all()
    assert len(np.unique(drawn, axis=0)) == 30
    np.testing.assert_array_equal(drawn, shuffle(labels, 30, np.random.default_rng(3)))


def test_rotations_hold_the_level_on_labels_and_activations_in_runs_and_shuffles_do_not():
    passed: dict[Exchanged, list[float]] = {"rows": [], "rotations": []}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        runs = np.repeat(rng.normal(size=(40, 60)), 20, axis=0) + 0.1 * rng.normal(size=(800, 60))
        labels = np.repeat(rng.permutation([0] * 20 + [1] * 20), 20).astype(np.int8)[None]
        for exchanged, shares in passed.items():
            scores = torch.from_numpy(np.roll(runs, 7, axis=0))
            found = scored(scores, torch.from_numpy(labels), draws=60, exchanged=exchanged)
            shares.append((found.p <= 0.05).mean())
    assert np.mean(passed["rows"]) > 0.3
    assert np.mean(passed["rotations"]) < 0.09


def test_false_discovery_ignores_what_was_not_tested():
    p = np.array([[0.01, np.nan], [0.02, 0.5]])
    q = false_discovery(p)
    np.testing.assert_allclose(q, [[0.03, np.nan], [0.03, 0.5]])
