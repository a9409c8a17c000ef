"""Figures of dictionaries: how often features fire, and what sparsity costs."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from interp.dictionaries.evaluation.evaluation import DictionaryEvaluation
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.layout import laid_out
from interp.results.escape import plotly_text

_MEASURES = {"explained_variance": "explained variance", "loss_recovered": "loss recovered"}
_COLORS = (NEGATIVE, POSITIVE, NEUTRAL, "#1b7837", "#762a83", "#b35806")


def density_histogram(found: DictionaryEvaluation) -> go.Figure:
    """How many features fire in which share of rows, by log10; dead ones are counted in the title.

    The dashed line is the density below which a feature may never have been seen: the upper end of
    Wilson's interval of 0 rows.
    """
    edges, counts = found.density_histogram()
    figure = go.Figure(
        go.Bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges),
            marker={"color": NEGATIVE, "line": {"width": 1, "color": "#ffffff"}},
            hovertemplate="density about 10^%{x:.2f}: %{y:,} features<extra></extra>",
        )
    )
    bound = found["dead_density_bound"].value
    if bound > 0:
        figure.add_vline(x=float(np.log10(bound)), line={"color": NEUTRAL, "dash": "dash"})
    dead = int((found.fired == 0).sum())
    figure.update_layout(
        title={"text": f"{dead:,} of {len(found.fired):,} features never on in {found.n_rows:,}"},
        showlegend=False,
        bargap=0,
    )
    figure.update_xaxes(title="log10 of the share of rows in which a feature is on")
    figure.update_yaxes(title="features")
    return laid_out(figure, height=330, top=50)


def neighbour_histogram(found: DictionaryEvaluation) -> go.Figure:
    """Cosine of every decoder row with its nearest other, beside that of random directions."""
    figure = go.Figure()
    for name, values, color in (
        ("dictionary", found.nearest, NEGATIVE),
        ("random directions", found.nearest_null, NEUTRAL),
    ):
        finite = values[np.isfinite(values)]
        counts, edges = np.histogram(finite, bins=60, range=(-1.0, 1.0))
        share = counts / max(len(finite), 1)
        middle = (edges[:-1] + edges[1:]) / 2
        figure.add_scatter(
            x=middle,
            y=share,
            name=name,
            line={"color": color, "shape": "hvh"},
            hovertemplate=f"{name}: %{{y:.3f}} at cosine %{{x:.2f}}<extra></extra>",
        )
    figure.update_xaxes(title="cosine with the nearest other decoder row")
    figure.update_yaxes(title="share of features", rangemode="tozero")
    return laid_out(figure, height=330)


def frontier(evaluations: Mapping[str, DictionaryEvaluation]) -> go.Figure:
    """Explained variance and loss recovered against L0 for several dictionaries and baselines.

    A point for each evaluation with both intervals; baselines are open marks, PCA of each rank
    among them. What lies further up and to the left keeps more with less.
    """
    figure = make_subplots(cols=2, subplot_titles=list(_MEASURES.values()), horizontal_spacing=0.12)
    shown = {row.key for found in evaluations.values() for row in found.contestants}
    keys = [key for key in ("dictionary", "pca", "random", "neurons") if key in shown]
    for color, contestant in zip(_COLORS, keys, strict=False):
        for column, measure in enumerate(_MEASURES, start=1):
            points, names = _points(evaluations, contestant, measure)
            figure.add_trace(
                _marks(points, names, contestant, color, legend=column == 1), row=1, col=column
            )
    figure.update_xaxes(title="L0 (features a row)")
    figure.update_yaxes(title="share")
    return laid_out(figure, height=400, top=40)


def _points(
    evaluations: Mapping[str, DictionaryEvaluation], contestant: str, measure: str
) -> tuple[Float[np.ndarray, "points 6"], list[str]]:
    """L0 and the measure, each with its interval, by rising L0."""
    points, names = [], []
    for name, found in evaluations.items():
        has = {row.key for row in found.contestants}
        if contestant in has and {measure, "l0"} <= set(found.measures):
            points.append([*found.cell(contestant, "l0"), *found.cell(contestant, measure)])
            names.append(name)
    array = np.array(points, np.float64).reshape(len(points), 6)
    order = np.argsort(array[:, 0], kind="stable")
    return array[order], [names[i] for i in order]


def _marks(
    points: Float[np.ndarray, "points 6"],
    names: list[str],
    contestant: str,
    color: str,
    *,
    legend: bool,
) -> go.Scatter:
    own = contestant == "dictionary"
    x, x_low, x_high, y, y_low, y_high = points.T
    return go.Scatter(
        x=x,
        y=y,
        name=contestant,
        legendgroup=contestant,
        showlegend=legend,
        mode="lines+markers",
        line={"color": color, "width": 1.2, "dash": "solid" if own else "dot"},
        marker={"color": color, "size": 9, "symbol": "circle" if own else "circle-open"},
        error_x={**_BAR, "array": x_high - x, "arrayminus": x - x_low, "color": color},
        error_y={**_BAR, "array": y_high - y, "arrayminus": y - y_low, "color": color},
        text=[plotly_text(name) for name in names],
        hovertemplate=f"%{{text}}, {contestant}<br>L0 %{{x:.2f}}: %{{y:.3f}}<extra></extra>",
    )


_BAR = {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3}
