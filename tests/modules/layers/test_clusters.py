"""Clusters of neighbouring layers, on similarities whose answer is plain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.modules.layers.clusters import cluster_layers, evenly_spaced, shared
from interp.results.errors import BadInput


def blocks(sizes: list[int], *, inside: float = 0.9, across: float = 0.3) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    cka = np.where(labels[:, None] == labels, inside, across)
    np.fill_diagonal(cka, 1.0)
    return cka


def test_planted_blocks_come_out_without_being_told_how_many():
    found = cluster_layers(blocks([3, 5, 2]))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert found.centres().tolist() == [1, 5, 9]
    assert found.contrast > 0.3
    assert found.p == pytest.approx(1 / 9)


@given(profile=st.lists(st.floats(0, 1), min_size=1, max_size=12), data=st.data())
def test_clusters_are_neighbours_as_many_as_asked_with_centres_inside(profile, data):
    n = len(profile) + 1
    cka = np.eye(n)
    cka[np.arange(n - 1), np.arange(1, n)] = cka[np.arange(1, n), np.arange(n - 1)] = profile
    n_clusters = data.draw(st.integers(1, n))
    found = cluster_layers(cka, n_clusters)
    assert (np.diff(found.labels) >= 0).all()
    assert (np.diff(found.labels) <= 1).all()
    assert np.unique(found.labels).tolist() == list(range(n_clusters))
    assert found.labels[found.centres()].tolist() == list(range(n_clusters))
    assert sorted(found.merges.tolist()) == list(range(n - 1))
    assert (np.diff(np.array(profile)[found.merges]) <= 0).all()


def test_identical_neighbours_merge_first():
    cka = blocks([1, 1, 1, 1, 1], across=0.5)
    cka[2, 3] = cka[3, 2] = 1.0
    found = cluster_layers(cka, 4)
    assert found.merges[0] == 2
    assert found.labels.tolist() == [0, 1, 2, 2, 3]


def test_without_blocks_no_cut_stands_out():
    distance = np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
    found = cluster_layers(0.95**distance, 3)
    assert found.contrast == pytest.approx(0.0, abs=1e-9)
    assert found.p == 1.0


def test_a_removed_slot_runs_the_nearest_kept_layer_and_the_later_of_two():
    assert shared(np.array([1, 3, 6]), 8) == (1, 1, 3, 3, 3, 6, 6, 6)
    assert evenly_spaced(2, 8).tolist() == [2, 6]


def test_clusters_that_cannot_be_and_similarities_that_are_not_are_refused():
    with pytest.raises(BadInput, match="5 clusters of 4 layers: expected 1 to 4"):
        cluster_layers(blocks([2, 2]), 5)
    cka = blocks([2, 2])
    cka[1, 2] = np.nan
    with pytest.raises(BadInput, match="layers 1 and 2 have no similarity"):
        cluster_layers(cka)
