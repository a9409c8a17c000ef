"""Figures of neuron scores: the curve over layers, and the distribution beside its nulls."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from interp.neurons.scores import NeuronScores
from interp.neurons.specialization import Specialization
from interp.plots.colors import DIVERGING, NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text

_BASELINES = ("#b35806", "#762a83", "#1b7837", "#c51b7d")
_BINS = 60


def specialization_curve(found: Specialization, group: str) -> go.Figure:
    """The best unit's score by site, beside shuffled labels and models that learnt nothing.

    The band ends at the .95 quantile of what the best unit scores under shuffled labels: a best of
    many is high by chance (arXiv 2305.18390 compares with the untrained network alone).
    """
    curve = found.curve(group)
    sites = [plotly_text(scores.site) for scores in found.sites]
    figure = go.Figure()
    figure.add_scatter(
        x=sites, y=curve.null_mean, name="shuffled labels, mean", line={"color": NEUTRAL}
    )
    figure.add_scatter(
        x=sites,
        y=curve.null_high,
        name="shuffled labels, .95",
        line={"color": NEUTRAL, "dash": "dot"},
        fill="tonexty",
        fillcolor="rgba(75,85,99,0.15)",
    )
    for i, (name, line) in enumerate(curve.baseline.items()):
        color = _BASELINES[i % len(_BASELINES)]
        figure.add_scatter(
            x=sites, y=line, name=plotly_text(name), line={"color": color, "dash": "dash"}
        )
    figure.add_scatter(
        x=sites, y=curve.best, name="best unit", line={"color": POSITIVE, "width": 3}
    )
    figure.update_traces(mode="lines+markers", hovertemplate="%{x}: %{y:.3f}")
    several = "" if curve.n_sub_functions == 1 else f", mean of {curve.n_sub_functions} labels"
    figure.update_xaxes(title="site", type="category")
    figure.update_yaxes(title=f"best {found.sites[0].measure} for {plotly_text(group)}{several}")
    return stamped(laid_out(figure, height=380), found.sites[0].provenance)


def score_distribution(scores: NeuronScores, function: str) -> go.Figure:
    """How many units score how high for one function, live units only, beside other models.

    The line is the mean over permutations of the best unit's score, and the dotted one its .95
    quantile: units beyond it detect the function at a family-wise .05.
    """
    index = scores.index(function)
    live = ~scores.dead
    values = {"trained": scores.score[index, live]}
    values |= {name: base[index, live] for name, base in scores.baseline.items()}
    edges = _edges(list(values.values()))
    figure = go.Figure()
    colors = (NEGATIVE, *_BASELINES)
    for i, (name, one) in enumerate(values.items()):
        counts, _ = np.histogram(one, bins=edges)
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            name=plotly_text(name),
            line={"color": colors[i % len(colors)], "shape": "hvh"},
            hovertemplate="%{y:,} units at %{x:.3f}",
        )
    null = scores.null_best[index]
    for value, dash in ((null.mean(), "solid"), (np.quantile(null, 0.95), "dot")):
        if np.isfinite(value):
            figure.add_vline(x=float(value), line={"color": NEUTRAL, "dash": dash})
    n_found = int(scores.specialised()[index].sum())
    figure.update_layout(
        title={
            "text": f"{plotly_text(function)}: {n_found:,} of {int(live.sum()):,} units at FDR "
            f"0.05, n = {scores.functions[index].n:,}"
        }
    )
    figure.update_xaxes(title=f"{scores.measure}, the better of two signs")
    figure.update_yaxes(title="units", rangemode="tozero")
    return stamped(laid_out(figure, height=340, top=50), scores.provenance)


def overlap_matrix(found: Specialization, *, share: float = 0.01) -> go.Figure:
    """How many of the best units two functions share, as a multiple of chance; white at chance."""
    overlap = found.overlap(share=share)
    ratio = np.log2(np.maximum(overlap.share, 1e-9) / overlap.chance)
    names = [plotly_text(group) for group in overlap.groups]
    figure = go.Figure(
        go.Heatmap(
            z=np.clip(ratio, -4, 4),
            x=names,
            y=names,
            zmid=0,
            zmin=-4,
            zmax=4,
            colorscale=DIVERGING,
            text=[["" if np.isnan(v) else f"{v:.3f}" for v in row] for row in overlap.share],
            texttemplate="%{text}",
            hovertemplate="%{x}, %{y}: %{text}<extra></extra>",
            colorbar={"title": {"text": "log2 of share / chance"}, "thickness": 12},
        )
    )
    figure.update_layout(
        title={"text": f"best {overlap.k} units in common; by chance {overlap.chance:.3f}"}
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(type="category")
    height = 200 + 34 * max(len(names), 2)
    return stamped(laid_out(figure, height=height, top=50), found.sites[0].provenance)


def _edges(values: list[Float[np.ndarray, " units"]]) -> Float[np.ndarray, " edges"]:
    together = np.concatenate(values)
    finite = together[np.isfinite(together)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
