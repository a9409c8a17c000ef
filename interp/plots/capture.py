"""Figures of activations: how one unit's values are spread over all recorded tokens."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from interp.plots.colors import NEGATIVE, NEUTRAL
from interp.plots.layout import laid_out

_BINS = 80


def unit_histogram(values: Float[np.ndarray, " rows"]) -> go.Figure:
    """How often a unit takes each value, on a logarithmic count; the mean is marked.

    NaN and infinite values are left out.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    counts, edges = np.histogram(finite, bins=_BINS) if finite.size else (np.zeros(1), [0.0, 1.0])
    edges = np.asarray(edges)
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges),
            marker={"color": NEGATIVE, "line": {"width": 0}},
            hovertemplate="near %{x:.3g}: %{y:,} rows<extra></extra>",
        )
    )
    if finite.size:
        figure.add_vline(
            x=float(finite.mean()),
            line={"color": NEUTRAL, "dash": "dash"},
            annotation={"text": "mean", "yref": "paper", "y": 1},
        )
    figure.update_xaxes(title="activation")
    top = np.log10(max(float(counts.max()), 1.0)) + 0.2
    figure.update_yaxes(title="rows (log scale)", type="log", dtick=1, range=[-0.3, top])
    figure.update_layout(bargap=0, showlegend=False)
    return laid_out(figure, height=330)
