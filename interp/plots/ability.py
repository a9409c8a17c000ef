"""Figures of abilities: where a mask lies, and the transfer table with its intervals."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from interp.abilities.masks.mask_layout import MaskLayout, NeuronCounts
from interp.evaluation.comparison import Comparison
from interp.plots.colors import DIVERGING, NEGATIVE, NEUTRAL, symmetric_limit
from interp.plots.layout import laid_out
from interp.results.escape import plotly_text

_MAX_RANKS = 200


def mask_grid(layout: MaskLayout) -> go.Figure:
    """Share of entries chosen in each layer and tensor type, above or below the share at random."""
    excess = layout.share - layout.expected_share
    limit = symmetric_limit(excess)
    hover = "layer %{y}, %{x}<br>%{customdata[0]:,} of %{customdata[1]:,} entries, share "
    figure = go.Figure(
        go.Heatmap(
            z=excess,
            x=[plotly_text(kind) for kind in layout.kinds],
            y=[str(layer) for layer in layout.layers],
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            text=[[_share_text(share) for share in row] for row in layout.share],
            texttemplate="%{text}",
            customdata=np.stack([layout.chosen, layout.ranked], axis=-1),
            hovertemplate=hover + "%{text}<extra></extra>",
            colorbar={"title": {"text": f"share − {layout.expected_share:.3f}"}, "thickness": 12},
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(title="tensor type", type="category")
    figure.update_yaxes(title="layer", type="category", autorange="reversed")
    return laid_out(figure, height=230 + 34 * max(len(layout.layers), 2))


def neuron_ranks(counts: NeuronCounts) -> go.Figure:
    """How far each MLP neuron's chosen weights exceed chance, sorted within its layer.

    A layer's neurons are shown at no more than 200 evenly spaced ranks. The dashed curve is what
    as many neurons give by chance (quantiles of the normal distribution).
    """
    figure = go.Figure()
    layers = np.unique(counts.layer)
    for index, layer in enumerate(layers):
        z = np.sort(counts.z[counts.layer == layer])[::-1]
        ranks = _ranks(len(z))
        shade = index / max(len(layers) - 1, 1)
        figure.add_scatter(
            x=(ranks + 0.5) / len(z),
            y=z[ranks],
            name=f"layer {layer}",
            line={"color": f"rgba(33, 102, 172, {0.35 + 0.65 * shade:.2f})"},
            hovertemplate=f"layer {layer}: %{{y:.2f}} at share %{{x:.2f}}<extra></extra>",
        )
    _add_chance_curve(figure)
    figure.update_xaxes(title="share of the layer's neurons, highest first", range=[0, 1])
    figure.update_yaxes(title="chosen weights above chance (sd)")
    return laid_out(figure, height=360)


def transfer_figure(comparison: Comparison) -> go.Figure:
    """Accuracy of every model in every column, each with its 95% interval; one panel a column.

    Blue is the row that the paired tests hold against the others.
    """
    titles = [
        f"{plotly_text(column.title)} (n={n})"
        for column, n in zip(comparison.columns, comparison.n, strict=True)
    ]
    figure = make_subplots(
        cols=max(len(titles), 1), shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.04
    )
    names = [plotly_text(row.title) for row in comparison.rows]
    keys = [row.key for row in comparison.rows]
    colors = [NEGATIVE if key == comparison.reference else NEUTRAL for key in keys]
    for index in range(len(titles)):
        value, low, high = (x[:, index] for x in _ends(comparison))
        figure.add_trace(_dots(names, colors, value, low, high), row=1, col=index + 1)
    figure.update_xaxes(range=[-0.02, 1.02], title="accuracy", tickformat=".1f", dtick=0.2)
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(showlegend=False)
    return laid_out(figure, height=130 + 34 * max(len(names), 2), top=40)


def _ends(comparison: Comparison) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return comparison.value, comparison.low, comparison.high


def _dots(
    names: list[str], colors: list[str], value: np.ndarray, low: np.ndarray, high: np.ndarray
) -> go.Scatter:
    return go.Scatter(
        x=value,
        y=names,
        mode="markers",
        marker={"size": 9, "color": colors},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - value,
            "arrayminus": value - low,
            "color": NEUTRAL,
            "thickness": 1.4,
            "width": 5,
        },
        customdata=np.stack([low, high], axis=-1),
        hovertemplate="%{y}<br>%{x:.3f} (%{customdata[0]:.3f} to %{customdata[1]:.3f})"
        "<extra></extra>",
    )


def _add_chance_curve(figure: go.Figure) -> None:
    from statistics import NormalDist

    shares = (np.arange(_MAX_RANKS) + 0.5) / _MAX_RANKS
    figure.add_scatter(
        x=shares,
        y=[NormalDist().inv_cdf(1 - share) for share in shares.tolist()],
        name="by chance",
        line={"color": NEUTRAL, "dash": "dash"},
        hoverinfo="skip",
    )


def _ranks(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, _MAX_RANKS)).round().astype(np.int64))


def _share_text(share: float) -> str:
    return "" if np.isnan(share) else f"{share:.3f}"
