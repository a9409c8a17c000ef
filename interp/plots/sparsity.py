"""Figures of sparsity: neurons used by every layer, and those that a share of its output takes."""

import numpy as np
import plotly.graph_objects as go

from interp.neurons.sparsity.definitions import MEASURES, SHARES
from interp.neurons.sparsity.stats import SparsityStats
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text


def sparsity_by_layer(found: SparsityStats, measure: str = "active") -> go.Figure:
    """One measure of every layer with its interval, beside its baselines."""
    value, low, high = found.column(measure).T
    names = [plotly_text(site) for site in found.sites]
    figure = go.Figure(
        go.Scatter(
            x=names,
            y=value,
            name="model",
            mode="lines+markers",
            line={"color": NEGATIVE},
            error_y={
                "type": "data", "symmetric": False, "array": high - value,
                "arrayminus": value - low, "thickness": 1.2, "width": 3,
            },
        )
    )  # fmt: skip
    for name in found.baselines:
        values = found.baseline(name, measure)
        if np.isfinite(values).any():
            color = NEUTRAL if name == "gaussian" else POSITIVE
            figure.add_scatter(
                x=names, y=values, name=name, mode="lines+markers",
                line={"color": color, "dash": "dot"},
            )  # fmt: skip
    figure.update_yaxes(title=f"{MEASURES[measure].title}: share", rangemode="tozero")
    figure.update_layout(title={"text": MEASURES[measure].definition, "font": {"size": 13}})
    return stamped(laid_out(figure, height=360, top=60), found.provenance)


def norm_share_curves(found: SparsityStats) -> go.Figure:
    """Share of neurons needed, largest first, for each share of the summed output norms."""
    figure = go.Figure()
    for layer, site in enumerate(found.sites):
        needed = [found.column(f"needed_{share:g}")[layer, 0] for share in SHARES]
        place = layer / max(len(found.sites) - 1, 1)
        figure.add_scatter(
            x=list(SHARES),
            y=needed,
            name=plotly_text(site),
            mode="lines+markers",
            line={"color": _shade(place)},
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], name="equal neurons", mode="lines",
        line={"color": NEUTRAL, "dash": "dash", "width": 1},
    )  # fmt: skip
    figure.update_xaxes(title="share of the summed norms of what neurons write", range=[0, 1])
    figure.update_yaxes(title="share of neurons needed", range=[0, 1])
    return stamped(laid_out(figure, height=400), found.provenance)


def rate_histogram(found: SparsityStats, site: str) -> go.Figure:
    """How many neurons of a layer are active at which share of tokens; dead ones in the title."""
    layer = found.layers[found.sites.index(site)]
    counts, edges = np.histogram(layer.rate[~layer.dead], bins=50, range=(0.0, 1.0))
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges),
            marker={"color": NEGATIVE, "line": {"width": 0}},
        )
    )  # fmt: skip
    dead = f"{int(layer.dead.sum()):,} of {layer.n_neurons:,} neurons never active"
    title = f"{plotly_text(site)}: {dead}"
    figure.update_layout(title={"text": title}, bargap=0, showlegend=False)
    figure.update_xaxes(title="share of tokens at which a neuron is active")
    figure.update_yaxes(title="neurons")
    return stamped(laid_out(figure, height=320, top=50), found.provenance)


def _shade(depth: float) -> str:
    """Light to dark with depth from 0 to 1: the order is read without the legend."""
    return f"rgb({170 - round(137 * depth)},{200 - round(98 * depth)},{200 - round(28 * depth)})"
