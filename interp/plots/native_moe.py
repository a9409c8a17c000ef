"""Tables and figures of a NativeRouting: load, functions, capacity, restricted routers."""

import numpy as np
import plotly.graph_objects as go

from interp.modules.native.routing import NativeRouting
from interp.plots.colors import DIVERGING, NEGATIVE, NEUTRAL, POSITIVE, symmetric_limit
from interp.plots.layout import laid_out
from interp.plots.provenance import stamped
from interp.results.escape import plotly_text
from interp.results.intervals import Interval

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]


def load_figure(found: NativeRouting) -> go.Figure:
    """Share of assignments of every expert, layer by layer, with the even share as a line."""
    load = found.router_load
    figure = go.Figure()
    experts = np.arange(found.n_experts)
    for i, site in enumerate(found.sites):
        share, ends = load.share[i], load.share_interval[i]
        figure.add_bar(
            x=experts,
            y=share,
            name=site,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": ends[:, 1] - share,
                "arrayminus": share - ends[:, 0],
                "color": NEUTRAL,
                "thickness": 1,
            },
            hovertemplate=f"{site}, expert %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    figure.add_hline(y=found.even_share, line={"color": NEUTRAL, "dash": "dash"})
    figure.update_xaxes(title="expert")
    figure.update_yaxes(title="share of assignments (dashes: even)", rangemode="tozero")
    return stamped(laid_out(figure, height=380), found.provenance)


def function_figure(found: NativeRouting, site: str) -> go.Figure:
    """log2 lift of every expert for every function in one layer, functional experts marked."""
    functions = found.functions
    figure = go.Figure()
    if functions is not None:
        layer = found.layer(site)
        with np.errstate(divide="ignore"):
            lift = np.log2(functions.lift[layer])
        lift = np.where(np.isfinite(lift), lift, np.nan)
        limit = symmetric_limit(lift)
        marks = np.where(functions.functional()[layer], "●", "")
        figure.add_heatmap(
            z=lift,
            zmin=-limit,
            zmax=limit,
            colorscale=DIVERGING,
            colorbar_title="log2 lift",
            text=marks,
            texttemplate="%{text}",
            y=[plotly_text(f"{functions.label} {value}") for value in functions.functions],
            hovertemplate="%{y}, expert %{x}: %{z:.2f}<extra></extra>",
        )
    figure.update_xaxes(title="expert (● more than chance, FDR 0.05)")
    rows = 1 if functions is None else len(functions.functions)
    return stamped(laid_out(figure, height=120 + 32 * rows), found.provenance)


def capacity_figure(found: NativeRouting) -> go.Figure:
    """What is dropped and padded in every layer, and what of it the two rectifications recover."""
    figure = go.Figure()
    capacity = found.capacity
    if capacity is not None:
        for name, recovered, color in (
            ("dropped", "intra_recovered", POSITIVE),
            ("padded", "fill_in_recovered", NEGATIVE),
        ):
            shares = [capacity.share(name, i) for i in range(len(found.sites))]
            figure.add_bar(
                x=list(found.sites),
                y=[share.value for share in shares],
                name=name,
                marker={"color": color},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [share.high - share.value for share in shares],
                    "arrayminus": [share.value - share.low for share in shares],
                    "color": NEUTRAL,
                },
                customdata=[capacity.share(recovered, i).value for i in range(len(found.sites))],
                hovertemplate=f"%{{x}}: {name} %{{y:.3f}}, of it recovered %{{customdata:.3f}}"
                "<extra></extra>",
            )
    figure.update_yaxes(title="share of assignments, of slots", rangemode="tozero")
    return stamped(laid_out(figure, height=360), found.provenance)


def load_rows(found: NativeRouting) -> Rows:
    """One line a layer, each number beside its null or its range."""
    heading = ("layer", "least", "most", "even", "CV", "CV if renamed", "p", "bits a token")
    load = found.router_load
    lines = []
    for i, site in enumerate(found.sites):
        least, most = int(load.share[i].argmin()), int(load.share[i].argmax())
        lines.append(
            (
                site,
                f"{load.share[i, least]:.3f} (expert {least})",
                f"{load.share[i, most]:.3f} (expert {most})",
                f"{found.even_share:.3f}",
                _interval(load.cv[i], load.cv_interval[i]),
                f"{load.cv_null[i]:.3f}",
                _p(load.cv_p[i]),
                _interval(load.token_entropy[i], load.token_entropy_interval[i]),
                _interval(load.load_entropy[i], load.load_entropy_interval[i]),
            )
        )
    return (*heading, "bits of the load"), lines


def overlap_rows(found: NativeRouting) -> Rows:
    """One line a layer: the pair most often together, and the pair most alike in weights."""
    overlap = found.overlap
    heading = ("layer", "most together, times chance", "p of all pairs", "most alike, SD over null")
    return heading, [
        (site, _pair(overlap.lift[i]), _p(overlap.together_p[i]), _pair(overlap.cosine_z[i]))
        for i, site in enumerate(found.sites)
    ]


def function_rows(found: NativeRouting) -> Rows:
    """One line a layer: mutual information beside its null, and functions with an expert."""
    functions = found.functions
    heading = ("layer", "bits", "shuffled", "p", "functions with an expert", "largest lift")
    if functions is None:
        return heading, []
    above = functions.functional()
    lines = []
    for i, site in enumerate(found.sites):
        lift = np.where(above[i], functions.lift[i], np.nan)
        largest = "none"
        if above[i].any():
            f, e = np.unravel_index(int(np.nanargmax(lift)), lift.shape)
            value = functions.functions[f]
            largest = f"{lift[f, e]:.2f} ({functions.label} {value}, expert {e})"
        lines.append(
            (
                site,
                f"{functions.information[i]:.4f}",
                f"{functions.information_null[:, i].mean():.4f}",
                _p(functions.information_p[i]),
                f"{int(above[i].any(axis=1).sum())} of {len(functions.functions)}",
                largest,
            )
        )
    return heading, lines


def capacity_rows(found: NativeRouting) -> Rows:
    """One line a layer: shares with intervals, and what of each is recovered."""
    heading = (
        *("layer", "dropped", "tokens unserved", "padded"),
        *("intra-device", "into empty slots", "fill-in"),
    )
    capacity = found.capacity
    names = ("dropped", "unserved", "padded")
    recovered = ("intra_recovered", "intra_in_slots_recovered", "fill_in_recovered")
    if capacity is None:
        return heading, []
    return heading, [
        (
            site,
            *(_share(capacity.share(name, i)) for name in names),
            *(
                f"{int(capacity.count(count)[i]):,}: {_share(capacity.share(name, i))}"
                for name, count in zip(
                    recovered, ("intra", "intra_in_slots", "filled"), strict=True
                )
            ),
        )
        for i, site in enumerate(found.sites)
    ]


def restriction_rows(found: NativeRouting) -> Rows:
    """One line a function: the loss it gains, beside the others' and random experts'."""
    heading = (
        *("function", "experts", "loss", "own change", "others'", "own, random experts"),
        *("own minus others", "random", "p"),
    )
    effect = found.restriction
    if effect is None:
        return heading, []
    lines = []
    own_minus_other, random = effect.own_minus_other, effect.random_own_minus_other
    for f, value in enumerate(effect.functions):
        own = effect.change[f, f]
        n = len(effect.functions)
        others = (effect.change[f].sum() - own) / max(n - 1, 1)
        lines.append(
            (
                value,
                str(int(effect.experts[f].sum())),
                f"{effect.base[f]:.3f}",
                _interval(own, effect.change_interval[f, f]),
                _number(others),
                _number(effect.random_change[f, :, f].mean()),
                _number(own_minus_other[f]),
                _number(random[f].mean()),
                _p(effect.p[f]),
            )
        )
    return heading, lines


def _interval(value: float, ends: np.ndarray) -> str:
    if np.isnan(ends).any():
        return _number(value)
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"


def _share(share: Interval) -> str:
    return _interval(share.value, np.array([share.low, share.high]))


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _p(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2g}"


def _pair(values: np.ndarray) -> str:
    """The largest entry and the two experts it is of; a dash where there is none."""
    if not np.isfinite(values).any():
        return "-"
    a, b = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return f"{values[a, b]:.2f} ({min(a, b)}, {max(a, b)})"
