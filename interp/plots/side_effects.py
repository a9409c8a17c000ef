"""Figure of side effects: what edits did to every task and language."""

import numpy as np
import plotly.graph_objects as go

from interp.abilities.effects.side_effects import SideEffects
from interp.evaluation.evaluation import LEVEL
from interp.plots.colors import DIVERGING, symmetric_limit
from interp.plots.layout import laid_out
from interp.results.escape import plotly_text


def side_effect_matrix(report: SideEffects) -> go.Figure:
    """Accuracy minus the base's, cells by edited models: blue lost, red gained.

    Each square says the difference with its paired 95% interval; a star where it holds after Holm's
    adjustment. The cells that the edit was made for are marked.
    """
    cells = report.evaluation.cells
    tests = [[report.effect(model, cell) for model in report.edited] for cell in cells]
    difference = report.difference
    limit = symmetric_limit(difference)
    shape = (len(cells), len(report.edited))
    ends = [[[*t.difference[1:], t.p_holm, t.n] for t in row] for row in tests]
    figure = go.Figure(
        go.Heatmap(
            z=difference,
            x=[plotly_text(model) for model in report.edited],
            y=[_cell_label(report, cell.key) for cell in cells],
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            text=[[_square_text(t.difference, t.p_holm) for t in row] for row in tests],
            texttemplate="%{text}",
            customdata=np.array(ends, dtype=np.float64).reshape(*shape, 4),
            hovertemplate="%{y}, %{x}<br>%{z:+.3f} (%{customdata[0]:+.3f} to "
            "%{customdata[1]:+.3f}), p after Holm %{customdata[2]:.2g}, n = %{customdata[3]:.0f}"
            "<extra></extra>",
            colorbar={"title": {"text": "accuracy − base"}, "thickness": 12},
            xgap=2,
            ygap=2,
        )
    )
    figure.update_xaxes(title=f"edited model, against {plotly_text(report.base)}", type="category")
    figure.update_yaxes(title="task, language", type="category", autorange="reversed")
    return laid_out(figure, height=180 + 34 * max(len(cells), 2))


def _square_text(interval: tuple[float, float, float], p_holm: float) -> str:
    value, low, high = interval
    if np.isnan(value):
        return ""
    return f"{value:+.3f}{' *' if p_holm < LEVEL else ''}<br>[{low:+.3f}, {high:+.3f}]"


def _cell_label(report: SideEffects, key: str) -> str:
    return plotly_text(f"{key} (target)" if key in report.targets else key)
