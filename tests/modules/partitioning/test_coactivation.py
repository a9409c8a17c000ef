import sys

import networkx
import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from interp.modules.partitioning.coactivation import (
    GraphSettings,
    partition_by_coactivation,
    partition_by_communities,
)
from interp.modules.partitioning.cuts import equal_sizes, spectral_embedding
from interp.modules.partitioning.graph import coactivation_graph, columns_shuffled
from interp.modules.partitioning.quality import modularity, partition_quality
from interp.results.errors import BadInput, Unsupported
from tests.modules.partitioning.planted import planted_activations

N, E, ROWS = 96, 6, 1500
QUICK = GraphSettings(n_restarts=2, n_shuffles=4)


def pymetis():
    return pytest.importorskip("pymetis", reason="optional: pip install pymetis to run this")


def found_by(name, h, settings=QUICK):
    if name == "louvain":
        return partition_by_communities(h, settings=settings)
    if name == "leiden":
        pytest.importorskip("leidenalg", reason="optional and GPL: pip install leidenalg to run")
        return partition_by_communities(h, algorithm="leiden", settings=settings)
    if name == "metis":
        pymetis()
    return partition_by_coactivation(h, E, cut=name, settings=settings)


METHODS = ("spectral", "metis", "louvain", "leiden")


@pytest.mark.parametrize("method", METHODS)
def test_planted_blocks_are_recovered_and_shuffled_columns_are_not(method):
    h, planted = planted_activations(N, E, ROWS, seed=0)
    found = found_by(method, h)
    assert adjusted_rand_score(planted, found.labels) == 1.0
    quality = found.quality
    assert quality is not None
    assert quality.q > quality.shuffled.max() > quality.random.max()
    assert quality.p == pytest.approx(1 / 5)
    noise = found_by(method, columns_shuffled(h, torch.Generator().manual_seed(5)))
    assert noise.quality is not None
    assert abs(noise.quality.q - noise.quality.shuffled.mean()) < 0.02
    assert abs(adjusted_rand_score(planted, noise.labels)) < 0.05


@pytest.mark.parametrize("method", ["spectral", "louvain"])
def test_permuting_neurons_permutes_the_partition(method):
    h, _ = planted_activations(N, E, 400, seed=1, within=0.1, outside=0.08)
    order = np.random.default_rng(0).permutation(N)
    one, other = found_by(method, h), found_by(method, h[:, torch.from_numpy(order)])
    assert one.objective == other.objective
    assert adjusted_rand_score(one.labels[order], other.labels) == 1.0


def test_moefications_affinity_recovers_planted_blocks_too():
    h, planted = planted_activations(N, E, ROWS, seed=2)
    settings = GraphSettings(affinity="moefication", n_restarts=2, n_shuffles=2)
    found = partition_by_coactivation(h, E, settings=settings)
    assert adjusted_rand_score(planted, found.labels) == 1.0
    assert found.kind == "coactivation-moefication-spectral"


def test_dead_and_always_on_neurons_are_flagged_and_dealt():
    h, planted = planted_activations(N, E, ROWS, seed=3)
    h[:, [4, 9]] = 0
    h[:, 20] = 1
    found = partition_by_coactivation(h, E, settings=QUICK)
    assert np.flatnonzero(found.dead).tolist() == [4, 9, 20]
    assert found.is_balanced
    assert adjusted_rand_score(planted[~found.dead], found.labels[~found.dead]) == 1.0
    loose = partition_by_communities(h, settings=QUICK)
    assert loose.members(int(loose.labels[4])).tolist() == [4, 9, 20]


def test_modularity_is_networkx_s():
    rng = np.random.default_rng(0)
    weights = np.triu(rng.random((30, 30)) * (rng.random((30, 30)) < 0.3), 1)
    weights = weights + weights.T
    labels = rng.integers(4, size=30)
    graph = networkx.from_numpy_array(weights)
    parts = [set(np.flatnonzero(labels == e).tolist()) for e in range(4)]
    expected = networkx.community.modularity(graph, parts, weight="weight")
    assert modularity(weights, labels) == pytest.approx(expected, abs=1e-12)


def test_shuffled_columns_keep_every_neurons_values():
    h, _ = planted_activations(40, 4, 100, seed=4)
    shuffled = columns_shuffled(h, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shuffled.sort(dim=0).values, h.sort(dim=0).values, rtol=0, atol=0)
    assert not torch.equal(shuffled, h)


def test_labels_that_no_activation_decided_are_held_against_shuffled_graphs():
    h, planted = planted_activations(N, E, ROWS, seed=5)
    truth = partition_quality(h, planted, n_shuffles=4)
    assert truth.q > 10 * np.abs(truth.shuffled).max()
    wrong = partition_quality(h, np.random.default_rng(0).permutation(planted), n_shuffles=4)
    assert wrong.p_random > 0.01


def test_the_spectral_embedding_is_that_of_a_dense_solver():
    h, _ = planted_activations(N, E, ROWS, seed=6)
    weights = coactivation_graph(h).weights
    scale = 1 / np.sqrt(weights.sum(axis=1))
    values, vectors = np.linalg.eigh(weights * scale[:, None] * scale[None, :])
    embedding = spectral_embedding(weights, E)
    # The same subspace: eigenvectors of near eigenvalues may turn within it.
    overlap = np.linalg.svd(embedding.T @ vectors[:, -E:])[1]
    np.testing.assert_allclose(overlap, 1.0, atol=1e-6)
    assert values[-1] == pytest.approx(1.0)


def test_over_full_parts_are_evened_at_the_least_loss():
    weights = np.zeros((4, 4))
    weights[0, 1] = weights[1, 0] = weights[1, 2] = weights[2, 1] = 1.0
    weights[2, 3] = weights[3, 2] = 0.5
    labels = np.array([0, 0, 0, 1])
    assert equal_sizes(weights, labels, 2, size=2).tolist() == [0, 0, 1, 1]
    fits = np.array([0, 1, 0, 1])
    assert equal_sizes(weights, fits, 2, size=2).tolist() == fits.tolist()


def test_what_cannot_be_cut_is_refused():
    h, _ = planted_activations(24, 4, 50, seed=0)
    with pytest.raises(BadInput, match="24 neurons cannot be dealt to 5"):
        partition_by_coactivation(h, 5)
    with pytest.raises(BadInput, match="no two neurons"):
        partition_by_coactivation(torch.zeros(10, 24), 4)


def test_a_library_that_is_not_there_is_named(monkeypatch):
    h, _ = planted_activations(24, 4, 200, seed=0)
    for name in ("pymetis", "leidenalg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match="pip install pymetis"):
        partition_by_coactivation(h, 4, cut="metis", settings=QUICK)
    with pytest.raises(Unsupported, match="leidenalg"):
        partition_by_communities(h, algorithm="leiden", settings=QUICK)
