"""Layers drawn: how alike they are, what is lost without each, the loss along a line."""

import numpy as np
import plotly.graph_objects as go

from interp.modules.layers.analysis import LayerAnalysis
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped


def similarity_map(found: LayerAnalysis) -> go.Figure:
    """CKA of every pair of layers above chance, with lines between the clusters."""
    figure = go.Figure(
        go.Heatmap(
            z=found.cka - found.floor, zmin=0, zmax=1, colorscale="Viridis", colorbar_title="CKA"
        )
    )
    for cut in np.flatnonzero(np.diff(found.clusters)) + 0.5:
        figure.add_hline(y=cut, line_color="white")
        figure.add_vline(x=cut, line_color="white")
    figure.update_layout(
        xaxis_title="layer",
        yaxis_title="layer",
        yaxis_autorange="reversed",
        title=f"{found.estimator} CKA above {found.floor:.2f}, n {found.n_sequences} sequences",
    )
    return stamped(laid_out(figure, height=520, top=50), found.provenance)


def removal_plot(found: LayerAnalysis) -> go.Figure:
    """Loss increase without each layer, with its interval; empty where none was removed."""
    figure = go.Figure()
    if found.removal is not None:
        value, ends = found.removal.loss_increase, found.removal.interval
        figure.add_bar(
            x=np.arange(len(value)),
            y=value,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": ends[:, 1] - value,
                "arrayminus": value - ends[:, 0],
            },
        )
    figure.update_layout(xaxis_title="layer", yaxis_title="loss increase without it (nats a token)")
    return stamped(laid_out(figure, height=360), found.provenance)


def line_plot(found: LayerAnalysis) -> go.Figure:
    """Loss from one checkpoint to the other, with its interval; empty without another."""
    figure = go.Figure()
    if found.line is not None:
        loss, ends = found.line.loss, found.line.interval
        figure.add_scatter(
            x=found.line.at,
            y=loss,
            mode="lines+markers",
            error_y={
                "type": "data",
                "symmetric": False,
                "array": ends[:, 1] - loss,
                "arrayminus": loss - ends[:, 0],
            },
        )
    figure.update_layout(
        xaxis_title="share of the other checkpoint", yaxis_title="loss (nats a token)"
    )
    return stamped(laid_out(figure, height=360), found.provenance)
