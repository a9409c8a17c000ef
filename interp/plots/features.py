"""Pictures of features: how they fire, where, and which tokens they move."""

import numpy as np
import plotly.graph_objects as go

from interp.dictionaries.views.feature_view import ContextView, FeatureView, Partner
from interp.dictionaries.views.feature_views import FeatureViews
from interp.dictionaries.views.parts import bin_edges
from interp.plots.colors import NEGATIVE, NEUTRAL, POSITIVE, symmetric_limit
from interp.plots.layout import laid_out
from interp.plots.tokens import Context, context_table
from interp.results.escape import visible

_BAND_NAMES = ("weakest quarter", "second quarter", "third quarter", "strongest quarter")
_MAX_POINTS = 20_000
_MAX_LABEL = 30


def activation_histogram(view: FeatureView) -> go.Figure:
    """How often the feature fires at each strength, on logarithmic bins; its median is marked."""
    edges, counts = bin_edges(), np.asarray(view.histogram)
    used = np.flatnonzero(counts)
    part = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
    low, high = edges[:-1][part], edges[1:][part]
    figure = go.Figure(
        go.Bar(
            x=np.sqrt(low * high),
            y=counts[part],
            width=high - low,
            marker={"color": NEGATIVE, "line": {"width": 0}},
            customdata=np.stack([low, high], axis=-1),
            hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g}: %{y:,} rows"
            "<extra></extra>",
        )
    )
    median = view.quantiles[0.5]
    if median == median:
        figure.add_vline(
            x=median,
            line={"color": NEUTRAL, "dash": "dash"},
            annotation={"text": "median", "yref": "paper", "y": 1},
        )
    figure.update_xaxes(title="activation (log scale)", type="log")
    silent = view.n_rows - view.n_active
    figure.update_yaxes(title=f"rows ({silent:,} more at zero)")
    figure.update_layout(bargap=0, showlegend=False)
    return laid_out(figure, height=300)


def feature_contexts(view: FeatureView, *, n: int = 10) -> str:
    """HTML of the strongest contexts and of one from each quarter of all firings, coloured."""
    bands = {context.band: context for context in reversed(view.sampled)}
    chosen = [(context, "strongest") for context in view.strongest[:n]]
    chosen += [(bands[band], _BAND_NAMES[band]) for band in sorted(bands, reverse=True)]
    if not chosen:
        return "<p>This feature never fires.</p>"
    limit = symmetric_limit(np.array([view.max]))
    return context_table(
        [_context(context, kind) for context, kind in chosen],
        columns=("activation", "row", "drawn from"),
        limit=limit,
    )


def logit_bars(view: FeatureView) -> go.Figure:
    """Tokens whose logits the feature moves most on the direct path; the dashes are what chance
    gives: the largest of a random direction of the same length."""
    tokens = [*view.promoted, *reversed(view.suppressed)]
    strengths = [token.strength for token in tokens]
    figure = go.Figure(
        go.Bar(
            x=strengths,
            y=list(range(len(tokens))),
            orientation="h",
            marker={"color": [POSITIVE if value > 0 else NEGATIVE for value in strengths]},
            customdata=[_label(token) for token in tokens],
            hovertemplate="%{customdata}: %{x:.3f}<extra></extra>",
        )
    )
    if view.logit_null == view.logit_null:
        for end in (-view.logit_null, view.logit_null):
            figure.add_vline(x=end, line={"color": NEUTRAL, "dash": "dash"})
    limit = 1.1 * symmetric_limit(np.array([*strengths, view.logit_null]))
    figure.update_xaxes(title="added to the logit, before the norm's scale", range=[-limit, limit])
    figure.update_yaxes(
        tickvals=list(range(len(tokens))),
        ticktext=[_label(token) for token in tokens],
        autorange="reversed",
    )
    figure.update_layout(showlegend=False)
    return laid_out(figure, height=130 + 22 * max(len(tokens), 2))


def density_scatter(views: FeatureViews) -> go.Figure:
    """Mean activation of every feature against its density, with the density's 95% interval.

    Features that never fire are counted in the title of the axis. Of more than 20,000 features,
    evenly spaced ones are drawn.
    """
    activity = views.activity
    firing = np.flatnonzero(np.asarray(activity.n_active) > 0)
    drawn = firing[:: -(-len(firing) // _MAX_POINTS)] if len(firing) else firing
    density, interval = activity.density[drawn], np.asarray(activity.density_interval)[drawn]
    figure = go.Figure(
        go.Scattergl(
            x=density,
            y=activity.mean[drawn],
            mode="markers",
            marker={"size": 5, "color": NEGATIVE, "opacity": 0.5},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": interval[:, 1] - density,
                "arrayminus": density - interval[:, 0],
                "color": NEUTRAL,
                "thickness": 0.6,
                "width": 0,
            },
            customdata=drawn,
            hovertemplate="feature %{customdata}<br>density %{x:.2g}, mean %{y:.3g}<extra></extra>",
        )
    )
    silent = views.d_sae - len(firing)
    figure.update_xaxes(title=f"share of rows it fires on ({silent:,} never fire)", type="log")
    figure.update_yaxes(title="mean activation where it fires", type="log")
    figure.update_layout(showlegend=False)
    return laid_out(figure, height=420)


def _context(context: ContextView, kind: str) -> Context:
    return Context(
        tokens=context.tokens,
        values=context.along,
        marked=context.marked,
        numbers=(f"{context.activation:.3g}", f"{context.row:,}", kind),
    )


def _label(token: Partner) -> str:
    """Text for a plotly label, which takes some markup: angle brackets and ampersands as text."""
    shown = visible(token.name, limit=_MAX_LABEL) or "∅"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
