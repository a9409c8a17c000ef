from typing import Any

import numpy as np
import pytest

from interp.modules.partitioning.random import random_partition
from interp.modules.routing.report import Contestant, RoutingReport
from interp.neurons.coactivation import Coactivation
from interp.plots.partitions import router_curves, sorted_coactivation
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance

PROVENANCE = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})


def traces(figure) -> Any:
    """The traces, whose fields plotly makes as they are asked for."""
    return figure.data


def blocks(partition):
    phi = (partition.labels[:, None] == partition.labels[None, :]).astype(np.float32)
    return Coactivation(phi=phi, rates=np.full(len(phi), 0.5), n=10)


def report(n_sites=2, *, value=0.5):
    contestants = (Contestant("own", "oracle"), Contestant("random", "oracle"))
    return RoutingReport(
        sites=tuple(f"blocks.{i}.mlp.hook_post" for i in range(n_sites)),
        kinds=("weights",) * n_sites,
        measures=("mass",) * n_sites,
        n_experts=4,
        contestants=contestants,
        ks=np.arange(1, 5),
        mass=np.full((n_sites, 2, 4, 3), value),
        effect_ks=np.array([1]),
        loss_change=np.full((2, 1, 3), value),
        accuracy_change=np.full((2, 1, 3), value),
        dense=np.zeros(2),
        silent=np.zeros(n_sites),
        n_items=1,
        n_tokens=1,
        n_fit_tokens=1,
        n_random=1,
        provenance=PROVENANCE,
    )


def test_neurons_stand_expert_by_expert_so_that_blocks_lie_on_the_diagonal():
    partition = random_partition(24, 4, seed=0)
    drawn = np.array(traces(sorted_coactivation(partition, blocks(partition)))[0].z, dtype=float)
    expected = np.kron(np.eye(4), np.ones((6, 6)))
    np.testing.assert_array_equal(drawn[~np.eye(24, dtype=bool)], expected[~np.eye(24, dtype=bool)])
    assert np.isnan(np.diag(drawn)).all()


def test_a_layer_where_nothing_fires_is_drawn():
    partition = random_partition(4, 2, seed=0)
    silent = Coactivation(phi=np.zeros((4, 4), np.float32), rates=np.zeros(4), n=0)
    assert sorted_coactivation(partition, silent).data


def test_wide_layers_are_thinned_and_other_layers_refused():
    partition = random_partition(1030, 2, seed=0)
    assert len(traces(sorted_coactivation(partition, blocks(partition)))[0].z) <= 512
    with pytest.raises(Mismatch, match="24 neurons, a partition of 1030"):
        sorted_coactivation(partition, blocks(random_partition(24, 4, seed=0)))


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_every_router_has_a_line_in_every_panel(value):
    figure = router_curves(report(value=value))
    names = [trace.name for trace in traces(figure) if trace.name]
    assert names.count("oracle, own experts") == names.count("oracle, random experts") == 2
    assert names.count("k/E") == 2
    with pytest.raises(BadInput, match="no layer"):
        router_curves(report(0))


def test_figures_say_what_made_them():
    partition = random_partition(24, 4, seed=0)
    for figure, made in (
        (sorted_coactivation(partition, blocks(partition)), partition.provenance),
        (router_curves(report()), PROVENANCE),
    ):
        assert figure.to_dict()["layout"]["meta"] == {"provenance": made.to_json()}
