"""Figures of abilities: they draw what the finding holds, also when it holds nothing."""

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from interp.abilities.masks.mask_layout import MaskLayout, NeuronCounts, mask_layout, neuron_counts
from interp.plots.ability import mask_grid, neuron_ranks, transfer_figure
from interp.plots.capture import unit_histogram
from interp.plots.provenance import provenance_facts, stamped
from tests.apps.sample import (
    N_LAYERS,
    PLANTED_LAYER,
    provenance,
    sample_comparison,
    sample_mask,
)


def traces(figure: go.Figure) -> Any:
    """The figure's traces; plotly's own types do not say that they have values."""
    return figure.data


def empty_layout(n_layers: int, n_kinds: int) -> MaskLayout:
    counts = np.zeros((n_layers, n_kinds), dtype=np.int64)
    return MaskLayout(
        layers=tuple(range(n_layers)),
        kinds=tuple(f"kind {i}" for i in range(n_kinds)),
        chosen=counts,
        ranked=counts,
        outside={},
        expected_share=float("nan"),
    )


def test_the_grid_is_centred_on_the_share_by_chance():
    layout = mask_layout(sample_mask())
    heat = traces(mask_grid(layout))[0]
    assert heat.zmin == -heat.zmax
    np.testing.assert_allclose(heat.z + layout.expected_share, layout.share)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 2)])
def test_a_mask_without_any_ranked_entry_is_drawn(shape):
    assert mask_grid(empty_layout(*shape)).to_json()


def test_the_planted_layer_has_the_highest_neuron_curve():
    figure = neuron_ranks(neuron_counts(sample_mask()))
    first = {trace.name: max(trace.y) for trace in traces(figure)}
    assert max(first, key=lambda name: first[name]) == f"layer {PLANTED_LAYER}"
    assert len(traces(figure)) == N_LAYERS + 1


def test_many_neurons_are_drawn_at_two_hundred_ranks():
    n = 5000
    floats, ints = np.linspace(-3, 3, n), np.zeros(n, dtype=np.int64)
    counts = NeuronCounts(
        layer=ints, neuron=ints, chosen=ints, size=ints, expected=floats, z=floats, p_holm=floats
    )
    curve = traces(neuron_ranks(counts))[0]
    assert len(curve.y) == 200
    assert (curve.y[0], curve.y[-1]) == (3.0, -3.0)


def test_every_model_stands_in_every_panel_with_its_interval():
    comparison = sample_comparison()
    figure = transfer_figure(comparison)
    assert len(traces(figure)) == len(comparison.columns)
    for index, dots in enumerate(traces(figure)):
        np.testing.assert_allclose(dots.x, comparison.value[:, index])
        np.testing.assert_allclose(dots.x + dots.error_x.array, comparison.high[:, index])
        np.testing.assert_allclose(dots.x - dots.error_x.arrayminus, comparison.low[:, index])


def test_titles_with_markup_are_drawn_as_text():
    titles = ('<a href="javascript:alert(1)">x</a>', "<b>", "&lt;", "plain")
    names = traces(transfer_figure(sample_comparison(titles=titles)))[0].y
    assert not [name for name in names if "<" in name]
    assert names[2] == "&amp;lt;"


@pytest.mark.parametrize(
    "values", [np.zeros(0), np.full(3, np.nan), np.ones(4), np.array([np.inf, 1.0, -2.0])]
)
def test_any_values_make_a_histogram_of_the_finite_ones(values):
    figure = unit_histogram(values)
    assert sum(traces(figure)[0].y) == np.isfinite(values).sum()


def test_a_stamped_figure_carries_its_provenance_through_export_and_the_original_does_not():
    figure = unit_histogram(np.ones(2))
    made_by = provenance("interp <demo>")
    exported = json.loads(stamped(figure, made_by).to_json() or "")
    assert exported["layout"]["meta"]["provenance"] == made_by.to_json()
    assert figure.layout.meta is None
    assert provenance_facts(made_by)["command"] == "interp <demo>"
