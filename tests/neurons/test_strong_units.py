"""Units of chance among many that know the label: the strong must not lend a narrower null."""

from pathlib import Path

import numpy as np
import pytest

from interp.neurons.measures.measured import by_own_draws
from interp.neurons.score import By, score_neurons
from tests.neurons.stores import LENGTH, SITE, write_store

DOCUMENTS, UNITS, STRONG = 80, 300, 240


@pytest.mark.parametrize("pool", ["max", "token"])
@pytest.mark.parametrize("measure", ["ap", "skill", "information", "selectivity"])
def test_units_of_chance_pass_as_often_as_asked_among_four_times_as_many_strong_ones(
    tmp_path: Path, measure: By, pool: str
) -> None:
    passed, found_share = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        labels = rng.permutation(DOCUMENTS) % 2
        values = rng.standard_normal((DOCUMENTS, UNITS))
        values[:, :STRONG] += 2.5 * labels[:, None]
        found = score_neurons(
            write_store(
                tmp_path / f"{seed}",
                {SITE: values[:, None].repeat(LENGTH, axis=1).reshape(-1, UNITS)},
                {"known": np.repeat(labels, LENGTH)},
            ),
            site=SITE,
            labels=["known"],
            measure=measure,
            pool="token" if pool == "token" else "max",
            n_permutations=60,
            seed=seed,
        )
        passed.append((found.p[0, STRONG:] <= 0.05).mean())
        found_share.append((found.p[0, :STRONG] <= 0.05).mean())
    assert np.mean(passed) < 0.09
    assert np.mean(found_share) > 0.95


def test_every_draw_is_set_by_the_others_and_the_labels_as_they_are_by_all_of_these() -> None:
    score = np.random.default_rng(0).random((9, 4))
    score[:, 3] = 1.0
    found = by_own_draws(score)
    for draw in range(9):
        others = np.delete(score[:, :3], sorted({0, draw}), axis=0)
        expected = (score[draw, :3] - others.mean(axis=0)) / others.std(axis=0)
        np.testing.assert_allclose(found[draw, :3], expected, atol=1e-9)
    assert np.isnan(found[:, 3]).all()
