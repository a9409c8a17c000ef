from typing import Any

import numpy as np
import pytest
from k_means_constrained import KMeansConstrained

from interp.modules.partitioning.seeding import plus_plus
from tests.modules.partitioning.planted import planted_rows


@pytest.mark.parametrize("share", [0.6, 0.0])
@pytest.mark.parametrize("seed", [0, 7])
def test_a_start_is_the_one_that_the_library_makes_by_itself(share, seed):
    rows, _ = planted_rows(96, 8, 32, share, seed=3)
    sizes = {"n_clusters": 8, "size_min": 12, "size_max": 12, "n_init": 1, "random_state": seed}
    theirs = KMeansConstrained(**sizes).fit(rows.numpy() * 1000)
    init: Any = plus_plus
    ours = KMeansConstrained(**sizes, init=init).fit(rows.numpy() * 1000)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    assert ours.n_iter_ == theirs.n_iter_


def test_centres_are_rows_and_no_copy_of_one_is_drawn_before_another_value():
    rows = np.repeat(np.eye(4), 5, axis=0)
    found = plus_plus(rows, 4, np.random.RandomState(0))
    assert sorted(map(tuple, found)) == sorted(map(tuple, np.eye(4)))
