"""The figures of a finding as pages, for commands with --figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.results.atomic import atomic_directory, check_out, write_json
from interp.results.errors import BadInput

if TYPE_CHECKING:
    import plotly.graph_objects as go

Figures = Annotated[
    Path | None, typer.Option("--figures", help="Directory to draw the finding into, as pages.")
]
_LIST = "interp.json"


def check_figures(figures: Path | None, *, out: Path, overwrite: bool) -> None:
    """BadInput, before any work, where --figures cannot be written or would replace --out."""
    if figures is None:
        return
    if out.resolve().is_relative_to(figures.resolve()):
        raise BadInput(f"--figures {figures} holds --out: choose a directory of its own")
    check_out(figures, replace=overwrite)


def write_figures(figures: "Mapping[str, go.Figure]", out: Path, *, overwrite: bool) -> None:
    """Write every figure to NAME.html in the directory `out`, each whole without a network."""
    with atomic_directory(out, replace=overwrite) as directory:
        for name, figure in figures.items():
            html = figure.to_html(include_plotlyjs=True, full_html=True)
            (directory / f"{name}.html").write_text(html, encoding="utf-8")
        write_json(directory / _LIST, {"schema": "interp.figures/1", "figures": list(figures)})
