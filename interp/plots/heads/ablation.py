"""Figures of ablated heads: score against effect by quadrant, found heads against random ones."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from interp.heads.ablation.result import EFFECTS, EVERY, MEASURES, AblationResult
from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.heads.labels import apart
from interp.plots.heads.scores import ALPHA
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.errors import BadInput, Mismatch
from interp.results.escape import plotly_text

Effect = Literal["attributed", "patched", "ablated"]
QUADRANTS = (
    ("scores and matters", POSITIVE),
    ("scores, does not matter", "#b35806"),
    ("matters, does not score", NEGATIVE),
    ("neither", "#9ca3af"),
)
_WORDS = {
    "attributed": "margin lost, to first order",
    "patched": "margin lost when patched",
    "ablated": "margin lost when ablated",
    "margin": "margin lost (logits)",
    "loss": "loss added (nats)",
    "accuracy": "accuracy lost",
}


def score_against_effect(
    scores: HeadScores,
    found: AblationResult,
    column: str,
    *,
    effect: Effect = "ablated",
    alpha: float = ALPHA,
) -> go.Figure:
    """Score of every head against what the relation loses without it, coloured by quadrant.

    A head scores if its p corrected for all heads is below `alpha`; it matters if the interval of
    its effect is above 0. A score is no proof of a role: the quadrants say how often they agree.
    Raises BadInput for a relation that was not ablated, Mismatch for another model.
    """
    if effect not in EFFECTS:
        raise BadInput(f"effect {effect!r}: one of {', '.join(EFFECTS)}")
    values = getattr(found, effect)
    if values.shape[:2] != scores.score.shape[:2]:
        raise Mismatch(
            f"effects of {values.shape[:2]} heads and scores of {scores.score.shape[:2]}: give "
            "findings of one model"
        )
    relation = scores.columns[scores.column(column)].relation or EVERY
    if relation not in found.columns:
        known = ", ".join(found.columns)
        raise BadInput(f"{column} is of {relation!r}, which was not ablated: there are {known}")
    place = found.columns.index(relation)
    values = values[:, :, place]
    score = scores.array("score", column)
    known = ~np.isnan(score) & ~np.isnan(values[..., 0])
    scored = np.nan_to_num(scores.array("p_adj", column), nan=1.0) < alpha
    matters = np.nan_to_num(values[..., 1], nan=-1.0) > 0
    kind = np.where(scored, np.where(matters, 0, 1), np.where(matters, 2, 3))
    figure = go.Figure()
    for number, (name, color) in enumerate(QUADRANTS):
        here = known & (kind == number)
        heads = [str(Head(int(layer), int(head))) for layer, head in np.argwhere(here)]
        middle, low, high = np.moveaxis(values[here], -1, 0)
        figure.add_scatter(
            x=score[here],
            y=middle,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": high - middle,
                "arrayminus": middle - low,
                "thickness": 1,
            },
            mode="markers+text",
            text=_kept(heads, score[here], middle) if number < 3 else None,
            cliponaxis=False,
            textposition="top center",
            textfont={"size": 10},
            customdata=[[head] for head in heads],
            name=f"{name}: {int(here.sum())}",
            marker={"color": color, "size": 9},
            hovertemplate="%{customdata[0]}: score %{x:.3f}, effect %{y:.3f}<extra></extra>",
        )
    if (scored & known).any():
        figure.add_vline(x=float(score[scored & known].min()), line=_LINE)
    figure.add_hline(y=0, line=_LINE)
    figure.update_layout(
        title={"text": plotly_text(column) + _agreement(scores, found, column, effect)},
        showlegend=True,
    )
    figure.update_xaxes(title=plotly_text(scores.columns[scores.column(column)].unit))
    figure.update_yaxes(title=_WORDS[effect])
    return stamped(laid_out(figure, height=480, top=50), found.provenance)


def found_against_random(found: AblationResult, *, measure: str = "margin") -> go.Figure:
    """What each relation loses without the found heads, beside every random group of their layers.

    The first group and condition; intervals are 95% over documents.
    """
    if measure not in MEASURES:
        raise BadInput(f"measure {measure!r}: one of {', '.join(MEASURES)}")
    index = MEASURES.index(measure)
    # Over all of one relation is that relation.
    first = 1 if len(found.relations) == 1 else 0
    names = [plotly_text(name) for name in found.columns[first:]]
    group = next(iter(found.groups))
    mode, where = found.conditions[0]
    draws = found.random[0, 0, : found.n_random(group), index, first:]
    figure = go.Figure()
    if len(draws):
        label = f"{len(draws)} random groups of the same layers"
        figure.add_trace(_drawn(np.tile(names, len(draws)), draws.ravel(), label))
    else:
        figure.add_annotation(
            text="no random group exists: these layers have no other heads",
            xref="paper", yref="paper", x=0.5, y=1, showarrow=False,
        )  # fmt: skip
    label = f"{plotly_text(group)}: {len(found.groups[group])} heads"
    figure.add_trace(_own(names, found.effect[0, 0, index, first:], label))
    figure.add_hline(y=0, line=_LINE)
    figure.update_layout(
        title={
            "text": f"{mode} at {where}",
            "subtitle": {"text": _broken(f"heads chosen on {plotly_text(found.chosen_on)}")},
        }
    )
    figure.update_xaxes(title="relation", type="category")
    figure.update_yaxes(title=_WORDS[measure])
    return stamped(laid_out(figure, height=480, top=90), found.provenance)


def _broken(text: str) -> str:
    return "<br>".join(wrap(text, 90))


def others_against_random(found: AblationResult) -> go.Figure:
    """How in-context learning and other measures change without the found heads everywhere.

    Beside the same without each random group; the first group, a panel a measure. A change is
    ablated less whole: its sign says which.
    """
    if not found.others:
        raise BadInput("no other measure was taken: ablate with --text or --tasks")
    group, modes = next(iter(found.groups)), list(found.modes)
    names = [plotly_text(name) for name in found.others]
    figure = make_subplots(cols=len(names), subplot_titles=names)
    for place in range(len(names)):
        draws = found.other_random[0, :, : found.n_random(group), place]
        box = _drawn(np.repeat(modes, draws.shape[1]), draws.ravel(), "random groups")
        own = _own(modes, found.other_effect[0, :, place], plotly_text(group))
        for trace in (box, own):
            figure.add_trace(trace.update(showlegend=place == 0), row=1, col=place + 1)
    figure.update_xaxes(type="category")
    figure.update_layout(yaxis_title="change")
    return stamped(laid_out(figure, height=400, top=40), found.provenance)


def _kept(
    heads: list[str], x: Float[np.ndarray, " heads"], y: Float[np.ndarray, " heads"]
) -> list[str]:
    shown = apart(list(zip(x.tolist(), y.tolist(), strict=True)))
    return [head if keep else "" for head, keep in zip(heads, shown, strict=True)]


def _drawn(x: Sequence[str] | np.ndarray, y: Float[np.ndarray, " draws"], name: str) -> go.Box:
    return go.Box(
        x=x,
        y=y,
        name=name,
        boxpoints="all",
        jitter=0.4,
        pointpos=0,
        line={"width": 1},
        marker={"color": NEUTRAL, "size": 4},
        fillcolor="rgba(0,0,0,0)",
    )


def _own(x: Sequence[str], cells: Float[np.ndarray, "points 3"], name: str) -> go.Scatter:
    middle, low, high = np.moveaxis(cells, -1, 0)
    return go.Scatter(
        x=x,
        y=middle,
        error_y={
            "type": "data",
            "symmetric": False,
            "array": high - middle,
            "arrayminus": middle - low,
        },
        mode="markers",
        name=name,
        marker={"color": POSITIVE, "size": 11, "symbol": "diamond"},
    )


def _agreement(scores: HeadScores, found: AblationResult, column: str, effect: Effect) -> str:
    """Rank correlation over heads, where it was taken with the detector of this column."""
    one = scores.columns[scores.column(column)]
    if one.detector != found.score_name:
        return ""
    place = found.columns.index(one.relation or EVERY)
    rho, p, n = found.correlation[EFFECTS.index(effect), place]
    counted = 0 if np.isnan(n) else int(n)
    return f": score and effect, rho {_number(rho)}, p {_number(p)}, n = {counted}"


_LINE = {"color": NEUTRAL, "dash": "dot", "width": 1}


def _number(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.2g}"
