"""Figures of heads over training: their curves beside what they serve, lags, and turnover."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from interp.heads.emergence.result import CurveFacts, HeadEmergence
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.heads.scores import PALETTE
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text

_LOOK = {
    "heads": (POSITIVE, "solid", "chosen heads together"),
    "level": ("#111827", "solid", "answers"),
    "ablated": (NEGATIVE, "dash", "answers, heads ablated"),
    "random": (NEUTRAL, "dot", "answers, random heads ablated"),
}
_ROW_PX = 250


def heads_over_checkpoints(
    found: HeadEmergence, *, statistic: str = "per_opportunity"
) -> go.Figure:
    """Chosen heads' `statistic`, the level of answers and in-context learning over training.

    A row a relation, with 95% bootstrap bars. A band is the 95% interval of where a curve changes,
    its line the change point; curves without one have none. Moving together is not cause: the
    dashed curve is the level with the heads ablated.
    """
    rows: dict[str, list[int]] = {}
    for place, curve in enumerate(found.curves):
        if curve.kind not in ("head", "heads") or curve.statistic == statistic:
            rows.setdefault(curve.relation or "in-context learning", []).append(place)
    titles = [plotly_text(name) for name in rows]
    figure = make_subplots(rows=max(len(rows), 1), shared_xaxes=True, subplot_titles=titles)
    shown: set[str] = set()
    for row, places in enumerate(rows.values(), start=1):
        for number, place in enumerate(places):
            color, dash, name = _look(found.curves[place], number)
            figure.add_trace(_line(found, place, color, dash, name, name not in shown), row, 1)
            shown.add(name)
            _mark_change(figure, found, place, color, row)
    _over_steps(figure, found)
    figure.update_xaxes(title="training step", row=max(len(rows), 1), col=1)
    return stamped(
        laid_out(figure, height=100 + _ROW_PX * max(len(rows), 1), top=40), found.provenance
    )


def lags(found: HeadEmergence) -> go.Figure:
    """How many checkpoints later one curve changes than another, with its 95% bootstrap.

    Pairs in which one has no change point are at the foot, without a point. Changing together is
    no cause.
    """
    order = sorted(found.lags, key=lambda lag: (lag.checkpoints is not None, lag.checkpoints or 0))
    names = [plotly_text(f"{lag.later} after {lag.earlier}", limit=90) for lag in order]
    ends = [(lag.checkpoints, lag.low, lag.high) for lag in order]
    middle, low, high = np.array(ends, dtype=np.float64).reshape(-1, 3).T
    figure = go.Figure()
    figure.add_scatter(
        x=middle,
        y=names,
        mode="markers",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - middle,
            "arrayminus": middle - low,
        },
        marker={"color": NEGATIVE, "size": 9},
        customdata=[[_number(lag.correlation), _number(lag.p_together)] for lag in order],
        hovertemplate="%{x:.1f} checkpoints; fluctuations beside the changes correlate "
        "%{customdata[0]}, p %{customdata[1]}<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    figure.update_xaxes(title="checkpoints later")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    return stamped(laid_out(figure, height=140 + 26 * len(names)), found.provenance)


def turnover(found: HeadEmergence) -> go.Figure:
    """How alike heads are ranked as at the last checkpoint: all of them, and the best `k`."""
    figure = go.Figure()
    x = np.arange(len(found.steps))
    for r, relation in enumerate(found.relations):
        for values, dash, what in (
            (found.spearman, "solid", "all heads, Spearman"),
            (found.jaccard, "dot", f"best {found.k}, Jaccard"),
        ):
            figure.add_scatter(
                x=x,
                y=values[:, r],
                mode="lines+markers",
                name=f"{plotly_text(relation)}: {what}",
                line={"color": PALETTE[r % len(PALETTE)], "dash": dash},
                hovertemplate="%{y:.2f}",
            )
    _over_steps(figure, found)
    figure.update_xaxes(title="training step")
    figure.update_yaxes(title="agreement with the last checkpoint")
    return stamped(laid_out(figure, height=420), found.provenance)


def _look(curve: CurveFacts, number: int) -> tuple[str, str, str]:
    if curve.kind in _LOOK:
        return _LOOK[curve.kind]
    named = ", ".join(curve.heads) if curve.kind == "head" else plotly_text(curve.name, limit=60)
    return PALETTE[number % len(PALETTE)], "solid", named


def _line(
    found: HeadEmergence, place: int, color: str, dash: str, name: str, shown: bool
) -> go.Scatter:
    value, low, high = (part[place] for part in (found.value, found.low, found.high))
    return go.Scatter(
        x=np.arange(len(found.steps)),
        y=value,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": high - value,
            "arrayminus": value - low,
            "thickness": 1,
            "width": 2,
        },
        mode="lines+markers",
        line={"color": color, "dash": dash},
        marker={"size": 5},
        name=name,
        legendgroup=name,
        showlegend=shown,
        customdata=[[plotly_text(found.curves[place].name, limit=90)]] * len(found.steps),
        hovertemplate="%{customdata[0]}: %{y:.3f}<extra></extra>",
    )


def _mark_change(figure: go.Figure, found: HeadEmergence, place: int, color: str, row: int) -> None:
    change = found.changes[place]
    if change.kind != "change" or change.step_after is None:
        return
    # plotly takes numbers here, and its annotations say text.
    where: Any = {"row": row, "col": 1}
    at = found.steps.index(change.step_after) - 0.5
    figure.add_vline(x=at, line={"color": color, "width": 1}, **where)
    if change.low in found.steps and change.high in found.steps:
        ends = [found.steps.index(int(step)) for step in (change.low, change.high)]
        band: Any = {"fillcolor": color, "opacity": 0.08, "line_width": 0}
        figure.add_vrect(x0=ends[0] - 1, x1=ends[1], **band, **where)


def _over_steps(figure: go.Figure, found: HeadEmergence) -> None:
    """Checkpoints stand as far apart as any: they are spaced by logarithms, with a 0."""
    places = list(range(len(found.steps)))
    figure.update_xaxes(tickvals=places, ticktext=[str(step) for step in found.steps])


def _number(value: float | None) -> str:
    return "not tested" if value is None else f"{value:.2g}"
