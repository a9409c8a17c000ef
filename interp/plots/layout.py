"""The look that every plotly figure of ours shares: readable type, quiet grid, no template."""

import plotly.graph_objects as go

TEXT = "#1f2933"
_GRID = "#e5e7eb"
_AXIS = {"gridcolor": _GRID, "zeroline": False, "linecolor": _GRID, "automargin": True}


def laid_out(figure: go.Figure, *, height: int, top: int = 24) -> go.Figure:
    """`figure` with our type, grid and margins; `height` and `top` margin in pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 10, "r": 10, "t": top, "b": 10},
        font={"size": 13, "color": TEXT, "family": "Source Sans, system-ui, sans-serif"},
        plot_bgcolor="#ffffff",
        paper_bgcolor="#ffffff",
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": TEXT}},
        legend={"bgcolor": "rgba(255,255,255,0)"},
    )
    figure.update_xaxes(**_AXIS)
    figure.update_yaxes(**_AXIS)
    figure.update_annotations(font={"size": 14, "color": TEXT})
    return figure
