"""Figures of sparsity draw what was measured, and where nothing was."""

from dataclasses import replace
from typing import Any

import numpy as np

from interp.neurons.sparsity.definitions import MEASURES
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.stats import LayerSparsity, SparsityStats
from interp.plots.sparsity import norm_share_curves, rate_histogram, sparsity_by_layer
from interp.results.provenance import Provenance


def _layer(site: str) -> LayerSparsity:
    rate = np.array([0.0, 0.2, 0.9])
    return LayerSparsity(
        site=site,
        threshold=None,
        rate=rate,
        mean=rate,
        sd=rate,
        mean_size=rate,
        largest=rate,
        histogram=np.array([1, 2, 3, 4]),
    )


def _stats() -> SparsityStats:
    shape = (2, len(MEASURES))
    value = np.linspace(0.1, 0.9, shape[0] * shape[1]).reshape(shape)
    return SparsityStats(
        rule=ActivityRule.parse("relu"),
        layers=(_layer("blocks.0.mlp.hook_post"), _layer("<b>blocks.1")),
        measures=tuple(MEASURES),
        value=value,
        low=value - 0.05,
        high=value + 0.05,
        n=np.full(shape, 10),
        n_tokens=10,
        n_sequences=2,
        baselines={"gaussian": np.full(shape, np.nan), "random weights": value / 2},
        perplexity=None,
        provenance=Provenance.collect(
            "test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )


def test_a_measure_is_drawn_by_layer_beside_the_baselines_that_have_it() -> None:
    found = _stats()
    traces: Any = sparsity_by_layer(found, "active").data
    assert [trace.name for trace in traces] == ["model", "random weights"]
    np.testing.assert_allclose(traces[0].y, found.column("active")[:, 0])
    assert "<b>" not in traces[0].x[1]


def test_the_curve_of_norm_shares_has_a_line_a_layer_and_that_of_equal_neurons() -> None:
    assert len(norm_share_curves(_stats()).to_dict()["data"]) == 3


def test_dead_neurons_stand_in_the_title_and_not_in_the_bars() -> None:
    figure: Any = rate_histogram(_stats(), "blocks.0.mlp.hook_post")
    assert sum(figure.data[0].y) == 2
    assert "1 of 3 neurons never active" in figure.layout.title.text


def test_figures_draw_where_nothing_was_measured() -> None:
    found = _stats()
    empty = replace(found, **{name: np.full_like(found.value, np.nan) for name in ("value", "low")})
    sparsity_by_layer(empty)
    norm_share_curves(empty)
    assert "relu" in str(empty)
