"""Pictures of partitions: who fires with whom, expert by expert, and what routers capture."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from interp.modules.partition import Partition
from interp.modules.routing.report import RoutingReport
from interp.neurons.coactivation import Coactivation
from interp.plots.colors import DIVERGING, NEUTRAL
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.errors import BadInput, Mismatch

_MAX_DRAWN = 512
_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Okabe and Ito's, told apart by colour-blind eyes."""


def sorted_coactivation(partition: Partition, found: Coactivation) -> go.Figure:
    """phi of every two neurons, expert by expert: experts that fire together are red blocks.

    Of more than 512 neurons evenly spaced ones of the sorted order are drawn. Raises Mismatch for
    another layer's co-activation.
    """
    if len(found.phi) != partition.n_neurons:
        raise Mismatch(
            f"co-activation of {len(found.phi)} neurons, a partition of {partition.n_neurons}"
        )
    order = partition.permutation()[:: -(-partition.n_neurons // _MAX_DRAWN)]
    phi = found.phi[np.ix_(order, order)].astype(np.float64)
    np.fill_diagonal(phi, np.nan)
    expert = partition.labels[order]
    seen = np.abs(phi[np.isfinite(phi)])
    # The few strongest pairs would leave the rest white.
    limit = float(np.quantile(seen, 0.995)) if seen.size and seen.max() > 0 else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=phi,
            zmin=-max(limit, 1e-6),
            zmax=max(limit, 1e-6),
            colorscale=DIVERGING,
            colorbar={"title": "phi"},
            customdata=_pairs(order, expert),
            hovertemplate="%{customdata}: phi %{z:.3f}<extra></extra>",
        )
    )
    for edge in np.flatnonzero(np.diff(expert)) + 0.5:
        figure.add_hline(y=edge, line={"color": NEUTRAL, "width": 0.5})
        figure.add_vline(x=edge, line={"color": NEUTRAL, "width": 0.5})
    figure.update_xaxes(title="neuron, expert by expert", showgrid=False, constrain="domain")
    figure.update_yaxes(autorange="reversed", showgrid=False, scaleanchor="x")
    return stamped(laid_out(figure, height=560), partition.provenance)


def router_curves(report: RoutingReport) -> go.Figure:
    """Share of the contribution captured against experts chosen, a panel a layer.

    Full lines are the partition's own experts with 95% bands, dashed ones random experts; the thin
    grey line is what a random choice holds. Raises BadInput for a report without layers.
    """
    if not report.sites:
        raise BadInput("the report holds no layer: there is nothing to draw")
    figure = make_subplots(
        rows=1, cols=len(report.sites), shared_yaxes=True, subplot_titles=report.sites
    )
    routers = list(dict.fromkeys(router for _, router in report.contestants))
    for column, curves in enumerate(report.mass, start=1):
        share = report.ks / report.n_experts
        chance = go.Scatter(
            x=report.ks,
            y=share,
            mode="lines",
            line={"color": NEUTRAL, "width": 1},
            name="k/E",
            showlegend=column == 1,
        )
        figure.add_trace(chance, row=1, col=column)
        for (part, router), curve in zip(report.contestants, curves, strict=True):
            color = _PALETTE[routers.index(router) % len(_PALETTE)]
            if part == "own":
                figure.add_trace(_band(report, curve, color), row=1, col=column)
            line = go.Scatter(
                x=report.ks,
                y=curve[:, 0],
                mode="lines+markers",
                marker={"size": 5},
                line={"color": color, "dash": "solid" if part == "own" else "dash"},
                name=f"{router}, {part} experts",
                showlegend=column == 1,
            )
            figure.add_trace(line, row=1, col=column)
    figure.update_xaxes(title=f"experts chosen, of {report.n_experts}")
    figure.update_yaxes(range=[0, 1.02])
    figure.update_yaxes(title="share of contribution captured", col=1)
    return stamped(laid_out(figure, height=420, top=40), report.provenance)


def _band(report: RoutingReport, curve: np.ndarray, color: str) -> go.Scatter:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=np.concatenate([report.ks, report.ks[::-1]]),
        y=np.concatenate([curve[:, 1], curve[::-1, 2]]),
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.15)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def _pairs(order: np.ndarray, expert: np.ndarray) -> list[list[str]]:
    names = [f"{neuron} (expert {e})" for neuron, e in zip(order, expert, strict=True)]
    return [[f"{one} and {other}" for other in names] for one in names]
