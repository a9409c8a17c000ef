"""Emergence in one figure: scores, stability, partitions, sparsity and co-activation over steps."""

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from interp.modules.emergence.missing import mean_of
from interp.modules.emergence.stability import Level, Stability
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.errors import BadInput

_PURPLE, _GREEN = "#762a83", "#1b7837"
_LEVELS: dict[Level, str] = {"expert": POSITIVE, "neuron": NEGATIVE, "random": NEUTRAL}
_ADVICE = {"dense": NEGATIVE, "sparse": _GREEN, "cannot tell": NEUTRAL}
_TITLES = (
    "best neuron's score, beside shuffled labels",
    "rank correlation with the next checkpoint",
    "partition: agreement with the next checkpoint",
    "share of neurons",
    "co-activation: 1 − correlation with the next checkpoint",
    "dense or sparse",
)


class _Line(NamedTuple):
    """One curve of a panel."""

    panel: int
    name: str
    color: str
    dash: str = "solid"


def emergence_figure(found: Stability, *, site: str | None = None) -> go.Figure:
    """All curves of a series over its steps, for one layer or as the mean of layers.

    Bands are 95% intervals: over functions for neurons and experts, over sequences for sparsity;
    for random partitions two standard deviations of their spread. Dashed lines are what chance or
    one checkpoint alone gives. Steps are on a logarithmic axis, step s at s + 1.
    """
    layers = _layers(found, site)
    figure = make_subplots(
        rows=len(_TITLES), shared_xaxes=True, vertical_spacing=0.045, subplot_titles=_TITLES,
        row_heights=[1, 1.2, 1, 1, 1, 0.35],
    )  # fmt: skip
    steps, pairs = found.setup.steps, found.pair_steps
    _add(figure, _Line(1, "best neuron", POSITIVE), steps, _mean(found.best.mean(axis=2), layers))
    null = _mean(found.best_null.mean(axis=2), layers)
    _add(figure, _Line(1, "best by shuffled labels", NEUTRAL, "dash"), steps, null)
    _add_levels(figure, found, layers)
    ceiling = _mean(found.pair_ceiling(), layers)
    _add(figure, _Line(3, "ARI", POSITIVE), pairs, _mean(found.partition_ari, layers))
    _add(figure, _Line(3, "ARI of starts (ceiling)", POSITIVE, "dash"), pairs, ceiling)
    floor = np.full(len(pairs), float(mean_of(found.floor()[layers], axis=0)))
    _add(figure, _Line(3, "ARI of random partitions", NEUTRAL, "dash"), pairs, floor)
    _add(figure, _Line(3, "NMI", _PURPLE), pairs, _mean(found.partition_nmi, layers))
    for name, color, values in (("active", NEGATIVE, found.active), ("dead", NEUTRAL, found.dead)):
        value, low, high = (_mean(values[:, :, end], layers) for end in range(3))
        _band(figure, _Line(4, name, color), steps, low, high)
        _add(figure, _Line(4, name, color), steps, value)
    _add_coactivation(figure, found, layers)
    _add_monitor(figure, found)
    figure.update_xaxes(type="log")
    figure.update_xaxes(title="step + 1", row=len(_TITLES))
    name = site or f"mean of {len(found.setup.sites)} layers"
    figure.update_layout(title={"text": _escaped(name)}, legend={"tracegroupgap": 40})
    return stamped(laid_out(figure, height=1250, top=70), found.provenance)


def _layers(found: Stability, site: str | None) -> list[int]:
    sites = found.setup.sites
    if site is None:
        return list(range(len(sites)))
    if site not in sites:
        raise BadInput(f"no site {site!r} in this series: it has {', '.join(sites)}")
    return [sites.index(site)]


def _add_levels(figure: go.Figure, found: Stability, layers: list[int]) -> None:
    spread = _mean(found.random_spread(), layers)
    for level, color in _LEVELS.items():
        mean = found.level(level)
        value, low, high = (_mean(values, layers) for values in mean)
        if level == "random":
            low, high = value - 2 * spread, value + 2 * spread
        line = _Line(2, f"{level} partitions" if level == "random" else f"{level}s", color)
        _band(figure, line, found.pair_steps, low, high)
        _add(figure, line, found.pair_steps, value)


def _add_coactivation(figure: go.Figure, found: Stability, layers: list[int]) -> None:
    for name, color, dash, values in (
        ("other half of the text", POSITIVE, "solid", found.coactivation_across),
        ("same text", _PURPLE, "solid", found.coactivation_change),
        ("halves of the text, one checkpoint", NEUTRAL, "dash", found.coactivation_floor),
    ):
        _add(figure, _Line(5, name, color, dash), found.pair_steps, _mean(values, layers))


def _add_monitor(figure: go.Figure, found: Stability) -> None:
    advice = found.monitor()
    for kind, color in _ADVICE.items():
        at = [step + 1 for step, given in zip(found.setup.steps[1:], advice, strict=True)
              if given == kind]  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=at, y=["monitor"] * len(at), mode="markers", name=kind, legendgroup="6",
                marker={"color": color, "symbol": "square", "size": 12},
                hovertemplate=f"{kind} at %{{x}}<extra></extra>",
            ),
            row=6, col=1,
        )  # fmt: skip


def _add(
    figure: go.Figure, line: _Line, steps: tuple[int, ...], values: Float[np.ndarray, " steps"]
) -> None:
    figure.add_trace(
        go.Scatter(
            x=[step + 1 for step in steps],
            y=values,
            name=line.name,
            mode="lines+markers",
            legendgroup=str(line.panel),
            line={"color": line.color, "dash": line.dash, "width": 1.6},
            customdata=list(steps),
            hovertemplate=f"{line.name}, step %{{customdata}}: %{{y:.3f}}<extra></extra>",
        ),
        row=line.panel,
        col=1,
    )


def _band(
    figure: go.Figure,
    line: _Line,
    steps: tuple[int, ...],
    low: Float[np.ndarray, " steps"],
    high: Float[np.ndarray, " steps"],
) -> None:
    x = [step + 1 for step in steps]
    red, green, blue = (int(line.color[i : i + 2], 16) for i in (1, 3, 5))
    for values, fill in ((high, None), (low, "tonexty")):
        figure.add_trace(
            go.Scatter(
                x=x, y=values, fill=fill, mode="lines", line={"width": 0}, hoverinfo="skip",
                fillcolor=f"rgba({red},{green},{blue},0.14)", showlegend=False,
                legendgroup=str(line.panel),
            ),
            row=line.panel, col=1,
        )  # fmt: skip


def _mean(
    values: Float[np.ndarray, "layers steps"], layers: list[int]
) -> Float[np.ndarray, " steps"]:
    return mean_of(values[layers], axis=0)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
