"""Two models on the same items."""

import numpy as np

from interp.evaluation.paired import PairedTest, paired_test
from interp.results.significance import mcnemar


def test_newcombe_and_the_bootstrap_cover_the_true_difference_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    cells = np.array([0.5, 0.2, 0.1, 0.2])
    covered = []
    for draw in rng.multinomial(150, cells, size=150):
        first = np.repeat([True, True, False, False], draw)
        second = np.repeat([True, False, True, False], draw)
        test = paired_test(first, second, names=("a", "b"), column="c", rng=rng)
        covered.append([low <= 0.1 <= high for _, low, high in (test.difference, test.bootstrap)])
    assert np.all(np.mean(covered, axis=0) >= 0.91) and np.all(np.mean(covered, axis=0) <= 0.99)


def test_a_test_counts_the_discordant_items_and_survives_json() -> None:
    first = np.array([True, True, True, False, False])
    second = np.array([True, False, False, True, False])
    test = paired_test(
        first, second, names=("x", "y"), column="target", rng=np.random.default_rng(0)
    )
    assert (test.only_first, test.only_second, test.n) == (2, 1, 5)
    assert test.p == mcnemar(2, 1) == 1.0
    assert PairedTest.from_json(test.to_json()) == test


def test_models_that_agree_on_every_item_do_not_differ() -> None:
    same = np.array([True, False, True])
    test = paired_test(same, same, names=("x", "y"), column="c", rng=np.random.default_rng(0))
    assert test.p == 1.0
    assert test.difference.value == 0


def test_where_five_items_differ_no_outcome_could_have_been_found() -> None:
    first, second = np.array([True] * 5 + [False]), np.zeros(6, dtype=bool)
    test = paired_test(first, second, names=("x", "y"), column="c", rng=np.random.default_rng(0))
    assert test.smallest_p == test.p == 0.0625
