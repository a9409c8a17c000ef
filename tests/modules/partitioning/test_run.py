import numpy as np
import pytest
import torch

from interp.models.load import load
from interp.modules.partitioning.run import Activity, partition
from interp.neurons.sparsity.rule import ActivityRule
from interp.results.errors import BadInput, Mismatch, Unsupported
from tests.modules.partitioning.planted import planted_activations

SITE = "blocks.1.mlp.hook_post"
RELU = ActivityRule.parse("relu")


def test_directory_and_bridge_give_the_same_partition(model_directory):
    directory = model_directory("llama")
    one = partition(directory, SITE, 6, n_restarts=2)
    other = partition(load(directory), SITE, 6, n_restarts=2)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.model_hash == other.model_hash
    assert one.provenance.settings["rows"] == "joined"


def test_gate_rows_alone_are_another_choice(model_directory):
    directory = model_directory("llama")
    joined = partition(directory, SITE, 6, n_restarts=2)
    gate = partition(directory, SITE, 6, rows="gate", n_restarts=2)
    assert gate.ari(joined) < 1
    assert gate.provenance.settings["rows"] == "gate"


def test_activations_add_the_quality_to_partitions_they_did_not_make(model_directory):
    h, planted = planted_activations(48, 4, 500, seed=0)
    h[:, 7] = 0
    activity = Activity(h, RELU, corpus_hash="text")
    found = partition(
        model_directory("gpt2"), SITE, 4, activity=activity, n_restarts=2, n_shuffles=3
    )
    assert found.quality is not None
    assert len(found.quality.shuffled) == 3
    assert np.flatnonzero(found.dead).tolist() == [7]
    assert found.provenance.corpus_hash == "text"
    chance = partition(
        model_directory("gpt2"), SITE, 4, by="random", activity=activity, n_shuffles=3, seed=9
    )
    assert chance.quality is not None
    assert chance.quality.p_random > 0.01


@pytest.mark.parametrize("by", ["coactivation", "louvain"])
def test_activity_finds_what_was_planted_under_any_rule(by, model_directory):
    from sklearn.metrics import adjusted_rand_score

    h, planted = planted_activations(48, 4, 800, seed=1)
    activity = Activity(h, ActivityRule.parse("abs:0.05"))
    n_experts = 4 if by == "coactivation" else None
    found = partition(
        model_directory("gpt2"),
        SITE,
        n_experts,
        by=by,
        activity=activity,
        n_restarts=2,
        n_shuffles=2,
    )
    assert adjusted_rand_score(planted, found.labels) == 1.0
    assert found.provenance.settings["active"] == "abs:0.05"


def test_what_a_method_lacks_is_said(model_directory):
    directory = model_directory("gpt2")
    activity = Activity(torch.zeros(4, 32), RELU)
    with pytest.raises(BadInput, match="48 neurons cannot be dealt to 5 experts"):
        partition(directory, SITE, 5)
    with pytest.raises(BadInput, match="give n_experts"):
        partition(directory, SITE)
    with pytest.raises(BadInput, match="give `activity`"):
        partition(directory, SITE, 4, by="coactivation")
    with pytest.raises(BadInput, match="leave n_experts out"):
        partition(directory, SITE, 4, by="louvain")
    with pytest.raises(Mismatch, match="32 neurons and weights of 48"):
        partition(directory, SITE, 4, activity=activity)
    with pytest.raises(Unsupported, match="mixture of experts"):
        partition(model_directory("mixtral"), SITE, 4)
