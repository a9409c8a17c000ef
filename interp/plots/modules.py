"""Figures of modules: which experts hold which function, and what disturbing them costs."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from interp.modules.functional.experts import FunctionalExperts, Rule
from interp.modules.perturbation.result import MEASURES, Measure, PerturbationResult
from interp.plots.colors import DIVERGING, NEGATIVE, NEUTRAL, POSITIVE, symmetric_limit
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text
from interp.results.intervals import Interval

_ROW_PX = 30
_WORDS = {"accuracy": "accuracy lost", "loss": "loss added (nats)"}


def experts_by_function(
    found: FunctionalExperts, *, layer: int = 0, rule: Rule = "fdr"
) -> go.Figure:
    """Enrichment of every expert in every function's best neurons; white is what chance gives.

    Functional experts by `rule` are marked. Colours are on the logarithm: twice and half as many
    neurons as a random expert holds are as far from white.
    """
    enrichment, odds = found.enrichment()[layer], found.odds_ratio()[layer]
    functional = found.functional(rule)[layer]
    # Half a neuron stands for none: the logarithm of 0 is no colour.
    expected = np.broadcast_to(found.expected()[layer], enrichment.shape)
    least = np.divide(0.5, expected, out=np.full(enrichment.shape, np.nan), where=expected > 0)
    shown = np.log2(np.maximum(enrichment, least))
    limit = symmetric_limit(shown)
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            x=[str(expert) for expert in range(found.n_experts)],
            y=[plotly_text(function) for function in found.functions],
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            colorbar={"title": {"text": "log2 of count<br>over chance"}},
            text=np.where(functional, "●", ""),
            texttemplate="%{text}",
            customdata=np.concatenate(
                [
                    odds,
                    found.counts[layer][..., None],
                    expected[..., None],
                    found.q[layer][..., None],
                ],
                axis=-1,
            ),
            hovertemplate="%{y}, expert %{x}: %{customdata[3]} neurons, by chance "
            "%{customdata[4]:.2f}<br>odds ratio %{customdata[0]:.2f} [%{customdata[1]:.2f}, "
            "%{customdata[2]:.2f}], q %{customdata[5]:.2g}<extra></extra>",
        )
    )
    chance, site = found.proportion(layer, rule), found.layers[layer].site
    figure.update_layout(
        title={
            "text": f"{plotly_text(site)}: {chance.value:.3f} of experts functional (●), random "
            f"partitions {chance.null_mean:.4f}"
        }
    )
    figure.update_xaxes(title="expert", type="category")
    figure.update_yaxes(autorange="reversed")
    return stamped(
        laid_out(figure, height=140 + _ROW_PX * len(found.functions), top=50), found.provenance
    )


def drop_matrix(found: PerturbationResult, *, measure: Measure | None = None) -> go.Figure:
    """What disturbing each function's neurons costs every function, with random neurons under it.

    One scale for all rows: what stands on the diagonal means something where the rows of random
    neurons are pale.
    """
    own = measure or found.measure
    index = MEASURES.index(own)
    names, rows = _drop_rows(found, index)
    limit = symmetric_limit(rows[..., 0])
    ends = [[str(Interval(*map(float, cell))) for cell in row] for row in rows]
    figure = go.Figure(
        go.Heatmap(
            z=rows[..., 0],
            x=[plotly_text(function) for function in found.evaluated],
            y=names,
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            colorbar={"title": {"text": _WORDS[own]}},
            text=_texts(rows[..., 0]),
            texttemplate="%{text}",
            customdata=ends,
            hovertemplate="%{y} → %{x}: %{customdata}<extra></extra>",
        )
    )
    figure.add_hline(y=len(found.functions) - 0.5, line={"color": NEUTRAL, "width": 2})
    specific = found.specificity(own)
    figure.update_layout(
        title={
            "text": f"own minus other {specific}, p {found.p_relabelled[index]:.2g} over "
            "relabelled rows"
        }
    )
    figure.update_xaxes(title=f"function asked ({_WORDS[own]})", type="category", side="bottom")
    figure.update_yaxes(title="neurons disturbed", type="category", autorange="reversed")
    return stamped(laid_out(figure, height=180 + _ROW_PX * len(rows), top=50), found.provenance)


def own_against_random(found: PerturbationResult, *, measure: Measure | None = None) -> go.Figure:
    """Each function's own drop with its interval, beside every random draw of each control."""
    own = measure or found.measure
    index = MEASURES.index(own)
    names = [plotly_text(function) for function in found.functions]
    figure = go.Figure()
    for name, color in zip(found.controls, (NEUTRAL, NEGATIVE, "#762a83"), strict=False):
        draws = found.controls[name][index]
        figure.add_box(
            x=np.repeat(names, len(draws)),
            y=draws.T.ravel(),
            name=plotly_text(name),
            boxpoints="all",
            jitter=0.4,
            pointpos=0,
            line={"width": 1},
            marker={"color": color, "size": 4},
            fillcolor="rgba(0,0,0,0)",
        )
    n = len(names)
    cells = found.drop[index, np.arange(n), np.arange(n)]
    figure.add_scatter(
        x=names,
        y=cells[:, 0],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": cells[:, 2] - cells[:, 0],
            "arrayminus": cells[:, 0] - cells[:, 1],
        },
        mode="markers",
        name="own neurons",
        marker={"color": POSITIVE, "size": 11, "symbol": "diamond"},
    )
    figure.update_layout(boxmode="group")
    figure.update_xaxes(title="function", type="category")
    figure.update_yaxes(title=_WORDS[own])
    return stamped(laid_out(figure, height=420), found.provenance)


def _drop_rows(
    found: PerturbationResult, index: int
) -> tuple[list[str], Float[np.ndarray, "rows evaluated 3"]]:
    """The matrix, then random draws (mean, and where 95% of them lie), then whole layers."""
    n_all = len(found.evaluated)
    names = [f"{plotly_text(function)}'s" for function in found.functions]
    rows = [found.drop[index]]
    for name, draws in found.controls.items():
        low, high = np.quantile(draws[index], [0.025, 0.975], axis=0)
        control = np.full((1, n_all, 3), np.nan)
        control[0, : len(found.functions)] = np.stack([draws[index].mean(axis=0), low, high], -1)
        names.append(plotly_text(name))
        rows.append(control)
    names.append("all neurons")
    rows.append(found.whole[index, -1:])
    return names, np.concatenate(rows)


def _texts(values: Float[np.ndarray, "rows evaluated"]) -> list[list[str]]:
    return [["" if np.isnan(v) else f"{v:.2f}" for v in row] for row in values]
