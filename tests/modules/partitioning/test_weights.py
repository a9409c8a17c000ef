import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from interp.models.mlp_weights import MlpWeights
from interp.modules.partition import Partition
from interp.modules.partitioning.balanced import (
    balanced_kmeans,
    start_seeds,
    unit_rows,
    within_cluster,
)
from interp.modules.partitioning.random import random_partition
from interp.modules.partitioning.weights import input_rows, partition_by_weights
from interp.results.errors import BadInput
from tests.modules.partitioning.planted import planted_rows

CASES = [(256, 16, 64, 0.6), (512, 8, 64, 0.55), (1024, 16, 128, 0.4)]
LARGE = pytest.param((3072, 16, 768, 0.1), marks=pytest.mark.slow)


@pytest.mark.parametrize("case", [*CASES, LARGE])
def test_planted_experts_are_recovered_exactly(case):
    n, n_experts, d, share = case
    rows, planted = planted_rows(n, n_experts, d, share, seed=1)
    found = partition_by_weights(rows, n_experts, n_restarts=4 if n < 3072 else 1)
    assert adjusted_rand_score(planted, found.labels) == 1.0
    assert found.is_balanced
    assert found.objective < found.null_objective.min()


def test_without_structure_starts_do_not_agree():
    rows, labels = planted_rows(256, 16, 64, 0.0, seed=2)
    found = partition_by_weights(rows, 16, n_restarts=4)
    assert abs(adjusted_rand_score(labels, found.labels)) < 0.05
    assert found.seed_ari.mean < 0.10
    assert len(found.rounds) == len(found.seeds) == 4


@pytest.mark.parametrize("share", [0.6, 0.0])
def test_permuting_neurons_permutes_the_partition(share):
    rows, _ = planted_rows(96, 8, 32, share, seed=3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(96))
    one = partition_by_weights(rows, 8, n_restarts=2)
    other = partition_by_weights(rows[order], 8, n_restarts=2)
    assert one.objective == other.objective
    assert adjusted_rand_score(one.labels[order.numpy()], other.labels) == 1.0


def test_the_length_of_a_row_does_not_matter():
    rows, _ = planted_rows(96, 8, 32, 0.6, seed=3)
    powers = 2.0 ** torch.arange(96).remainder(5)[:, None]
    one, other = (partition_by_weights(w, 8, n_restarts=2) for w in (rows, rows * powers))
    assert one.ari(other) == 1.0


def test_dead_neurons_are_dealt_at_the_end_and_flagged():
    rows, planted = planted_rows(256, 16, 64, 0.6, seed=4)
    gone = np.flatnonzero(planted == planted[0])[:10]
    rows[gone[:5]] = 0
    silent = np.zeros(256, bool)
    silent[gone[5:]] = True
    found = partition_by_weights(rows, 16, n_restarts=4, dead=silent)
    np.testing.assert_array_equal(np.flatnonzero(found.dead), gone)
    assert found.is_balanced
    assert adjusted_rand_score(planted[~found.dead], found.labels[~found.dead]) == 1.0


def test_the_best_start_has_the_least_inertia_and_starts_repeat():
    rows, _ = planted_rows(96, 8, 32, 0.2, seed=5)
    starts = balanced_kmeans(rows.numpy(), 8, seed=0, n_restarts=4)
    unit = unit_rows(rows.numpy())
    for start in starts.found:
        assert within_cluster(unit, start.labels, 8) == pytest.approx(start.objective)
    objectives = [start.objective for start in starts.found]
    assert objectives == sorted(objectives)
    again = balanced_kmeans(rows.numpy(), 8, seed=0, n_restarts=4)
    np.testing.assert_array_equal(starts.found[0].labels, again.found[0].labels)
    assert start_seeds(0, 2) == start_seeds(0, 4)[:2]
    assert start_seeds(0, 4) != start_seeds(1, 4)


def test_inertia_is_the_sum_of_squared_distances_to_the_means():
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((20, 3)), rng.integers(4, size=20)
    by_hand = sum(
        ((rows[labels == e] - rows[labels == e].mean(axis=0)) ** 2).sum() for e in range(4)
    )
    assert within_cluster(rows, labels, 4) == pytest.approx(by_hand)


@pytest.mark.parametrize("n_experts", [1, 24])
def test_one_expert_and_one_neuron_an_expert_work(n_experts):
    rows, _ = planted_rows(24, 2, 8, 0.5, seed=0)
    found = partition_by_weights(rows, n_experts, n_restarts=2)
    assert found.sizes.tolist() == [24 // n_experts] * n_experts


def test_duplicates_zero_rows_and_half_precision_end_in_equal_experts():
    rows, _ = planted_rows(32, 4, 8, 0.5, seed=0)
    rows[:12] = rows[12]
    rows[20:24] = 0
    for dtype in (torch.float32, torch.bfloat16):
        found = partition_by_weights(rows.to(dtype), 4, n_restarts=2)
        assert found.is_balanced
        assert found.dead.sum() == 4
    nothing = partition_by_weights(torch.zeros(8, 3), 4, n_restarts=2)
    assert nothing.is_balanced
    assert nothing.dead.all()


def test_bad_input_is_named():
    rows, _ = planted_rows(32, 4, 8, 0.5, seed=0)
    with pytest.raises(BadInput, match="32 neurons cannot be dealt to 5 experts"):
        partition_by_weights(rows, 5)
    with pytest.raises(BadInput, match="0 starts"):
        partition_by_weights(rows, 4, n_restarts=0)
    rows[3, 0] = float("nan")
    with pytest.raises(BadInput, match="neuron 3 is not finite"):
        partition_by_weights(rows, 4)


def test_joined_rows_hold_gate_and_input_at_unit_length():
    generator = torch.Generator().manual_seed(0)
    W_in, W_gate = (torch.randn(6, 4, generator=generator) * s for s in (1.0, 50.0))
    weights = MlpWeights(W_in, W_gate, W_in)
    joined = input_rows(weights)
    torch.testing.assert_close(joined.norm(dim=1), torch.full((6,), 2**0.5))
    torch.testing.assert_close(joined[:, :4], W_gate / W_gate.norm(dim=1, keepdim=True))
    assert input_rows(weights, "gate") is W_gate
    assert input_rows(MlpWeights(W_in, None, W_in), "joined") is W_in


def test_random_partitions_are_balanced_seeded_and_mean_nothing():
    one, again, other = (random_partition(96, 8, seed=seed) for seed in (0, 0, 1))
    assert one.sizes.tolist() == [12] * 8
    np.testing.assert_array_equal(one.labels, again.labels)
    assert abs(one.ari(other)) < 0.1
    assert isinstance(one, Partition)
