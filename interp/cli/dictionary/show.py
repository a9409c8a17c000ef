"""`interp dictionary show`: one feature's view in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, print_json
from interp.results.escape import visible

if TYPE_CHECKING:
    from rich.text import Text

    from interp.dictionaries.views.describer import Description
    from interp.dictionaries.views.feature_view import ContextView, FeatureView


def show(
    views: Annotated[Path, typer.Argument(help="A finding that `interp dictionary views` made.")],
    feature: Annotated[int, typer.Argument(help="Number of the feature.")],
    contexts: Annotated[int, typer.Option("--contexts", help="Strongest contexts to show.")] = 6,
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", help="Ask a model there for a description: https://host/v1."),
    ] = None,
    endpoint_model: Annotated[
        str | None, typer.Option("--endpoint-model", help="Its name at that address.")
    ] = None,
    key_variable: Annotated[
        str | None,
        typer.Option("--key-variable", help="Environment variable with the key, if it needs one."),
    ] = None,
    json: Json = False,
) -> None:
    """Show one feature: what it fires on, what it does, and a description with its evidence.

    Nothing is sent anywhere unless --endpoint says so.

    Example: interp dictionary show views 17
    """
    from interp.dictionaries.views.describers import rule
    from interp.dictionaries.views.feature_views import FeatureViews

    view = FeatureViews.load(views).feature(feature)
    descriptions = [rule.describe(view)]
    if endpoint is not None:
        descriptions.append(_asked(view, endpoint, endpoint_model, key_variable))
    if json:
        print_json(_plain({**vars(view), "descriptions": descriptions}))
        return
    _print(view, descriptions, contexts)


def _asked(
    view: "FeatureView", endpoint: str, model: str | None, key_variable: str | None
) -> "Description":
    from interp.dictionaries.views.describers.endpoint import endpoint_describer
    from interp.results.errors import BadInput

    if model is None:
        raise BadInput("--endpoint needs --endpoint-model: name the model to ask there")
    return endpoint_describer(base_url=endpoint, model=model, key_variable=key_variable).describe(
        view
    )


def _plain(value: Any) -> Any:
    """As JSON has it: NaN as null, nouns as objects."""
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        return _plain(vars(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and value != value else value


def _print(view: "FeatureView", descriptions: "list[Description]", n: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    lines = [
        Text(f"feature {view.feature}", style="bold"),
        Text(
            f"fires on {view.n_active:,} of {view.n_rows:,} rows, density {view.density}; "
            f"mean {view.mean:.3g}, max {view.max:.3g}"
        ),
        *(line for description in descriptions for line in _described(description)),
        *_contexts("strongest contexts", view.strongest[:n]),
        *_contexts("sampled evenly from all firings", _one_a_band(view)),
        *_company(view),
    ]
    for line in lines:
        console.print(line, soft_wrap=True)


def _described(description: "Description") -> "list[Text]":
    from rich.text import Text

    said = Text(f"{visible(description.text, limit=400)}", style="italic")
    said.append(f"   ({visible(description.describer)})", style="dim")
    if description.n_held_out == 0 or description.recall.value != description.recall.value:
        return [said]
    checked = (
        f"  held out: foretells {description.recall} of {description.n_held_out} firings, right on "
        f"{description.precision} of its rows (by chance {description.base_rate:.3f})"
    )
    return [said, Text(checked, style="dim")]


def _contexts(title: str, contexts: "tuple[ContextView, ...]") -> "list[Text]":
    from rich.text import Text

    if not contexts:
        return []
    return [Text(title, style="bold"), *(_context(context) for context in contexts)]


def _context(context: "ContextView") -> "Text":
    from rich.text import Text

    line = Text(f"  {context.activation:8.3g}  ")
    for index, token in enumerate(context.tokens):
        line.append(context.between if index else "")
        fires = abs(context.along[index]) > 0
        style = "reverse" if index == context.marked else "bold" if fires else ""
        shown = visible(token, limit=40)
        line.append(f"«{shown}»" if index == context.marked else shown, style=style)
    return line


def _one_a_band(view: "FeatureView") -> "tuple[ContextView, ...]":
    bands = {context.band: context for context in reversed(view.sampled)}
    return tuple(bands[band] for band in sorted(bands, reverse=True))


def _company(view: "FeatureView") -> "list[Text]":
    from rich.text import Text

    def listed(partners: Any) -> str:
        return ", ".join(f"{visible(p.name, limit=30)!r} {p.strength:+.3f}" for p in partners)

    def numbered(partners: Any) -> str:
        return ", ".join(f"{p.index} {p.strength:+.3f}" for p in partners)

    lines = [
        ("promotes", listed(view.promoted[:6]), f"by chance up to {view.logit_null:.3f}"),
        ("suppresses", listed(view.suppressed[:6]), ""),
        ("decoder neighbours", numbered(view.neighbours[:5]), _chance(view.neighbour_null)),
        ("neurons", numbered(view.neurons[:5]), _chance(view.neuron_null)),
        ("fires together with", _together(view), ""),
    ]
    for detection in view.detections[:3]:
        found = (
            f"average precision {detection.average_precision.value:.3f}, base rate "
            f"{detection.base_rate:.3f}, in {detection.fired:,} of {detection.n:,} "
            f"{detection.unit} ({detection.expected:,.1f} by chance), q {detection.q_value:.2g}"
        )
        lines.append((f"{visible(detection.column)} = {detection.value}", found, ""))
    return [
        Text.assemble((f"{title}: ", "bold"), said, (f"   {note}" if note else "", "dim"))
        for title, said, note in lines
        if said
    ]


def _chance(null: float) -> str:
    return f"by chance up to {null:.3f}" if null == null else ""


def _together(view: "FeatureView") -> str:
    return ", ".join(
        f"{c.feature} phi {c.phi:.2f} ({c.together:,} rows, {c.expected:.1f} expected)"
        for c in view.companions[:4]
        if c.p_value <= 0.05
    )
