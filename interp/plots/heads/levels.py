"""Figures of in-context learning: its levels over lines shown and over training, and the loss."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from interp.heads.icl.levels import LEVELS, LevelCurves
from interp.heads.icl.table import names_of
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text

_COLORS = {"format": "#b35806", "pattern": POSITIVE, "legal": NEGATIVE}
_WORDS = {
    "format": "format: says a label",
    "pattern": "pattern: says the right label",
    "legal": "right among the labels",
}


def levels_over_shots(curves: LevelCurves, *, step: int = -1) -> go.Figure:
    """Each task's levels over the number of lines shown, beside lines whose labels are random.

    `step` is the place of a checkpoint, the last unless said; intervals are Wilson's 95% over
    prompts. The dotted line is guessing among the labels.
    """
    names = [plotly_text(task.name) for task in curves.tasks]
    figure = make_subplots(cols=len(names), shared_yaxes=True, subplot_titles=names)
    x = [str(k) for k in curves.shots]
    for column, task in enumerate(curves.tasks, start=1):
        for level in LEVELS:
            for shuffled in (False, True):
                shares = curves.share(level, shuffled=shuffled)
                value, low, high = (part[step, column - 1] for part in shares)
                figure.add_trace(
                    _line(
                        x,
                        np.stack([value, low, high], axis=-1),
                        name=_WORDS[level] + (", shuffled labels" if shuffled else ""),
                        color=_COLORS[level],
                        dash="dot" if shuffled else "solid",
                        shown=column == 1,
                    ),
                    row=1,
                    col=column,
                )
        line = {"color": NEUTRAL, "dash": "dot", "width": 1}
        # plotly takes numbers here, and its annotations say text.
        place: Any = {"row": 1, "col": column}
        figure.add_hline(y=task.chance, line=line, **place)
    figure.update_xaxes(title="lines shown", type="category")
    figure.update_yaxes(range=[-0.03, 1.03])
    figure.update_layout(yaxis_title=f"share of {curves.n_prompts} prompts")
    return stamped(laid_out(figure, height=380, top=40), curves.provenance)


def levels_over_checkpoints(curves: LevelCurves, *, shots: int | None = None) -> go.Figure:
    """Each task's levels over training, with `shots` lines or the most asked; random labels dotted.

    Below, what tokens late in a text cost less than early ones (nats), its 95% bootstrap over
    sequences, and dotted the same after another text's beginning.
    """
    place = len(curves.shots) - 1 if shots is None else curves.shots.index(shots)
    n_tasks, n_windows = len(curves.tasks), len(curves.windows)
    names = [plotly_text(task.name) for task in curves.tasks]
    names += [f"loss of tokens {j} to {i + j} less the first {i}" for i, j in curves.windows]
    rows = n_tasks + n_windows
    figure = make_subplots(rows=rows, shared_xaxes=True, subplot_titles=names)
    x = [plotly_text(name) for name in names_of(curves)]
    for task in range(n_tasks):
        for level in LEVELS:
            for shuffled in (False, True):
                shares = curves.share(level, shuffled=shuffled)
                cells = np.stack([part[:, task, place] for part in shares], axis=-1)
                name = _WORDS[level] + (", shuffled labels" if shuffled else "")
                dash = "dot" if shuffled else "solid"
                line = _line(x, cells, name=name, color=_COLORS[level], dash=dash, shown=task == 0)
                figure.add_trace(line, row=task + 1, col=1)
        figure.update_yaxes(range=[-0.03, 1.03], row=task + 1, col=1)
    reduction = curves.loss_reduction()
    for window in range(n_windows):
        for foreign, name in enumerate(("own text", "after another text")):
            line = _line(
                x,
                reduction[:, window, foreign],
                name=name,
                color="#1b7837",
                dash="dot" if foreign else "solid",
                shown=window == 0,
            )
            figure.add_trace(line, row=n_tasks + window + 1, col=1)
    figure.update_xaxes(title="training step", row=rows, col=1)
    figure.update_xaxes(type="category")
    return stamped(laid_out(figure, height=100 + 190 * rows, top=40), curves.provenance)


def _line(
    x: list[str],
    cells: Float[np.ndarray, "points 3"],
    *,
    name: str,
    color: str,
    dash: str,
    shown: bool,
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=cells[:, 0],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": cells[:, 2] - cells[:, 0],
            "arrayminus": cells[:, 0] - cells[:, 1],
            "thickness": 1,
            "width": 2,
        },
        mode="lines+markers",
        line={"color": color, "dash": dash},
        marker={"size": 5},
        name=name,
        legendgroup=name,
        showlegend=shown,
        hovertemplate="%{x}: %{y:.3f}",
    )
