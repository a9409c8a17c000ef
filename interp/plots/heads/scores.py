"""Figures of head scores: layer by head above chance, and score against corrected p."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots

from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.plots.colors import DIVERGING, NEUTRAL, POSITIVE, symmetric_limit
from interp.plots.heads.labels import apart
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.errors import BadInput
from interp.results.escape import plotly_text

ALPHA = 0.05
UNTESTED = "#d1d5db"
MARK = "●"
_ROW_PX = 22
_NAMED = 12
_ACROSS = 3
_BAR = {"thickness": 12, "len": 1, "nticks": 5}
_HOVER = ("score", "ci_low", "ci_high", "null_mean", "null_sd", "z", "p_adj", "q", "n_sequences")
PALETTE = ("#2166ac", "#b35806", "#1b7837", "#762a83", "#c51b7d", "#4d4d4d", "#8c510a", "#01665e")


def score_map(scores: HeadScores, column: str, *, alpha: float = ALPHA) -> go.Figure:
    """Score above its null mean, layer by head: white is chance, grey is not tested.

    A dot marks heads below `alpha` corrected for all heads and columns of the detector.
    """
    figure = go.Figure(_map(scores, column, alpha))
    one = scores.columns[scores.column(column)]
    figure.update_layout(title={"text": _counted(scores, column, alpha)})
    figure.update_traces(colorbar={"title": {"text": _scale_title(one.unit)}, **_BAR})
    _say_untested(figure, _map_gaps(scores, [column]))
    return stamped(_as_map(figure, scores.n_layers), scores.provenance)


def maps_beside(
    scores: HeadScores,
    columns: Sequence[str],
    *,
    effect: Float[np.ndarray, "layers heads"] | None = None,
    effect_name: str = "damage when ablated",
    alpha: float = ALPHA,
) -> go.Figure:
    """Several columns as maps, three across, and an effect as the last; one scale for each unit.

    For a literal index beside a contextual one and beside what ablation does: what is faint on the
    scale of the others is faint here too.
    """
    if not columns:
        raise BadInput("no column to show: name at least one")
    titles = [_counted(scores, name, alpha) for name in columns]
    if effect is not None:
        if effect.shape != scores.score.shape[:2]:
            raise BadInput(
                f"effects of {effect.shape} heads beside scores of {scores.score.shape[:2]}: give "
                "those of one model"
            )
        titles.append(plotly_text(effect_name))
    maps = [_map(scores, name, alpha) for name in columns]
    maps += [] if effect is None else [_effect_map(effect)]
    across = min(len(maps), _ACROSS)
    rows = -(-len(maps) // across)
    figure = make_subplots(rows=rows, cols=across, subplot_titles=titles)
    units = [_scale_title(scores.columns[scores.column(name)].unit) for name in columns]
    units += [] if effect is None else [plotly_text(effect_name)]
    _share_scales(figure, maps, units)
    for i, one in enumerate(maps):
        figure.add_trace(one, row=1 + i // across, col=1 + i % across)
    _say_untested(figure, _map_gaps(scores, columns))
    return stamped(_as_map(figure, scores.n_layers, rows=rows), scores.provenance)


def volcano(
    scores: HeadScores, columns: Sequence[str] | None = None, *, alpha: float = ALPHA
) -> go.Figure:
    """Score against -log10 of the corrected p, a point a head; above the line is significant.

    `columns` of one unit; without them, those that share the first one's unit. Points that stand in
    a row at the top have the smallest p that the draws can give.
    """
    chosen = _of_one_unit(scores, columns)
    figure = go.Figure()
    points = _named_points(scores, chosen, alpha)
    shown = apart([(x, y) for _, _, x, y in points])
    labelled = {
        (name, head) for (name, head, _, _), keep in zip(points, shown, strict=True) if keep
    }
    for i, name in enumerate(chosen):
        tested = scores.tested(name)
        heads = [Head(int(layer), int(head)) for layer, head in np.argwhere(tested)]
        p = scores.array("p_adj", name)[tested]
        figure.add_scatter(
            x=scores.array("score", name)[tested],
            y=-np.log10(p),
            name=plotly_text(name),
            mode="markers+text",
            text=[str(head) if (name, head) in labelled else "" for head in heads],
            textposition="top center",
            textfont={"size": 10},
            cliponaxis=False,
            marker={
                "color": PALETTE[i % len(PALETTE)],
                "size": 8,
                "symbol": np.where(p < alpha, "circle", "circle-open").tolist(),
            },
            customdata=[[str(head), value] for head, value in zip(heads, p, strict=True)],
            hovertemplate="%{customdata[0]}: %{x:.3f}, p adj %{customdata[1]:.2g}",
        )
    figure.add_hline(y=-np.log10(alpha), line={"color": NEUTRAL, "dash": "dot"})
    unit = scores.columns[scores.column(chosen[0])].unit
    figure.update_xaxes(title=plotly_text(unit))
    figure.update_yaxes(title="-log10 of p, corrected for all heads", range=[-0.08, None])
    figure.update_layout(showlegend=True)
    return stamped(laid_out(figure, height=460), scores.provenance)


def rate_and_strength(scores: HeadScores, column: str, *, alpha: float = ALPHA) -> go.Figure:
    """How often each head passes the gate of a relation against how well it then raises the tail.

    Neither alone is the head's part in the relation; the colour is their product, per opportunity.
    """
    missing = [n for n in ("rate", "strength", "per_opportunity") if n not in scores.extras]
    if missing:
        raise BadInput(f"{column} has no {', '.join(missing)}: expected scores of a relation")
    arrays = [scores.array(name, column) for name in ("rate", "strength", "per_opportunity")]
    # A head that seldom passes the gate is not tested, but it is shown.
    known = ~np.isnan(np.stack(arrays)).any(axis=0)
    rate, strength, both = (array[known] for array in arrays)
    p = np.nan_to_num(scores.array("p_adj", column)[known], nan=1.0)
    heads = [Head(int(layer), int(head)) for layer, head in np.argwhere(known)]
    figure = go.Figure()
    figure.add_scatter(
        x=rate,
        y=strength,
        mode="markers+text",
        text=_labels(heads, rate, strength, p < alpha),
        cliponaxis=False,
        textposition="top center",
        textfont={"size": 10},
        customdata=[[str(head)] for head in heads],
        marker={
            "color": both,
            "colorscale": [[0, "#ffffff"], [1, POSITIVE]],
            "cmin": 0,
            "line": {"color": NEUTRAL, "width": 1},
            "size": 11,
            "colorbar": {"title": {"text": "per<br>opportunity"}, "thickness": 12},
        },
        hovertemplate="%{customdata[0]}: rate %{x:.3f}, strength %{y:.3f}<extra></extra>",
    )
    figure.update_layout(title={"text": _counted(scores, column, alpha)})
    figure.update_xaxes(title="rate: share of opportunities that pass the gate", range=[0, 1.03])
    figure.update_yaxes(title="strength: share of the tail where it passes", range=[0, 1.08])
    return stamped(laid_out(figure, height=440, top=50), scores.provenance)


def _named_points(
    scores: HeadScores, columns: Sequence[str], alpha: float
) -> list[tuple[str, Head, float, float]]:
    """Column, head, score and height of the best significant heads of every column."""
    return [
        (
            name,
            head,
            float(scores.array("score", name)[head]),
            float(-np.log10(scores.array("p_adj", name)[head])),
        )
        for name in columns
        for head in scores.significant(name, alpha=alpha)[:_NAMED]
    ]


def _labels(
    heads: Sequence[Head],
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    chosen: Bool[np.ndarray, " points"],
) -> list[str]:
    places = np.flatnonzero(chosen)
    kept = apart([(float(x[i]), float(y[i])) for i in places])
    shown = {int(i) for i, keep in zip(places, kept, strict=True) if keep}
    return [str(head) if i in shown else "" for i, head in enumerate(heads)]


def _scale_title(unit: str) -> str:
    return f"{plotly_text(unit)}<br>above chance"


def _share_scales(figure: go.Figure, maps: Sequence[go.Heatmap], units: Sequence[str]) -> None:
    """One colour scale for the maps of each unit, shown once, to the right of the maps."""
    different = list(dict.fromkeys(units))
    for i, unit in enumerate(different, start=1):
        own = [one for one, of in zip(maps, units, strict=True) if of == unit]
        limit = max(float(one.to_plotly_json()["zmax"]) for one in own)
        for one in own:
            one.update(coloraxis=f"coloraxis{i}", zmin=None, zmax=None, colorscale=None)
        bar = {"title": {"text": unit}, "x": 1.02 + 0.13 * (i - 1), **_BAR}
        axis = {"colorscale": DIVERGING, "cmin": -limit, "cmax": limit, "colorbar": bar}
        figure.update_layout({f"coloraxis{i}": axis})


def _map_gaps(scores: HeadScores, columns: Sequence[str]) -> list[str]:
    """For every map what is to be said of grey heads: nothing, or that none was tested."""
    return [
        "" if tested.all() else "some" if tested.any() else "none"
        for tested in map(scores.tested, columns)
    ]


def _say_untested(figure: go.Figure, gaps: Sequence[str]) -> None:
    for i, gap in enumerate(gaps, start=1):
        axis = "" if i == 1 else str(i)
        if gap == "none":
            figure.add_annotation(
                text="no head could be tested",
                xref=f"x{axis} domain",
                yref=f"y{axis} domain",
                x=0.5,
                y=0.5,
                showarrow=False,
                bgcolor="#ffffff",
            )
    if any(gaps):
        figure.add_annotation(
            text="grey: not tested", xref="paper", yref="paper", x=0, y=0, yshift=-66,
            xanchor="left", showarrow=False,
        )  # fmt: skip


def _map(scores: HeadScores, column: str, alpha: float) -> go.Heatmap:
    excess = scores.array("score", column) - scores.array("null_mean", column)
    below = np.nan_to_num(scores.array("p_adj", column), nan=1.0) < alpha
    limit = symmetric_limit(excess)
    return go.Heatmap(
        z=excess,
        x=[str(head) for head in range(scores.n_heads)],
        y=[str(layer) for layer in range(scores.n_layers)],
        zmin=-limit,
        zmax=limit,
        colorscale=DIVERGING,
        text=np.where(below, MARK, ""),
        texttemplate="%{text}",
        customdata=_hovered(scores, column),
        hovertemplate="L%{y}H%{x}: %{customdata[0]}<br>by chance %{customdata[1]}<br>"
        "%{customdata[2]}<extra></extra>",
    )


def _hovered(scores: HeadScores, column: str) -> list[list[list[str]]]:
    """Score with its interval, the null, and what they come to, as text for every head."""
    arrays = [scores.array(name, column) for name in _HOVER]
    return [
        [
            _told(*(float(values[layer, head]) for values in arrays))
            for head in range(scores.n_heads)
        ]
        for layer in range(scores.n_layers)
    ]


def _told(
    score: float,
    low: float,
    high: float,
    null: float,
    sd: float,
    z: float,
    p: float,
    q: float,
    n: float,
) -> list[str]:
    if np.isnan(score):
        return ["not tested", "unknown", ""]
    ends = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"
    counted = "" if np.isnan(n) else f", n = {n:,.0f}"
    return [
        f"{score:.3f}{ends}{counted}",
        f"{null:.3f} ± {sd:.3f}",
        f"z {z:.1f}, p adj {p:.2g}, q {q:.2g}",
    ]


def _effect_map(effect: Float[np.ndarray, "layers heads"]) -> go.Heatmap:
    limit = symmetric_limit(effect)
    return go.Heatmap(
        z=effect,
        x=[str(head) for head in range(effect.shape[1])],
        y=[str(layer) for layer in range(effect.shape[0])],
        zmin=-limit,
        zmax=limit,
        colorscale=DIVERGING,
        hovertemplate="L%{y}H%{x}: %{z:.3f}<extra></extra>",
    )


def _as_map(figure: go.Figure, n_layers: int, *, rows: int = 1) -> go.Figure:
    laid_out(figure, height=60 + rows * (150 + _ROW_PX * max(n_layers, 4)), top=50)
    figure.update_layout(plot_bgcolor=UNTESTED)
    figure.update_xaxes(title="head", type="category", showgrid=False)
    figure.update_yaxes(title="layer", type="category", autorange="reversed", showgrid=False)
    return figure.update_layout(margin={"b": 80})


def _counted(scores: HeadScores, column: str, alpha: float) -> str:
    n = len(scores.significant(column, alpha=alpha))
    tested = int(scores.tested(column).sum())
    return f"{plotly_text(column)}: {n} of {tested} ({MARK} p adj < {alpha:g})"


def _of_one_unit(scores: HeadScores, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        unit = scores.columns[0].unit
        return [one.name for one in scores.columns if one.unit == unit]
    units = {scores.columns[scores.column(name)].unit for name in columns}
    if len(units) != 1:
        raise BadInput(f"columns in {', '.join(sorted(units))}: one axis has one unit")
    return list(columns)
