"""`interp dictionary search`: features by a token, a label or likeness to another feature."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, print_json
from interp.results.escape import visible

if TYPE_CHECKING:
    from sae_lens.saes.sae import SAE

    from interp.dictionaries.views.feature_hit import FeatureHit


def search(
    views: Annotated[Path, typer.Argument(help="A finding that `interp dictionary views` made.")],
    token: Annotated[
        str | None, typer.Option("--token", help='A token as it is shown, like " the".')
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="COLUMN=VALUE.")] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            help="DICT:FEATURE, in this dictionary or another; DICT alone matches all features.",
        ),
    ] = None,
    sae_id: Annotated[
        str | None, typer.Option("--sae-id", help="Dictionary of --like within a release.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many to show.")] = 20,
    json: Json = False,
) -> None:
    """Find features by what they fire on, which label they tell, or what they point like.

    Example: interp dictionary search views --token " the"
    """
    from interp.dictionaries.views.feature_views import FeatureViews
    from interp.dictionaries.views.search import search_features

    hits = search_features(
        FeatureViews.load(views),
        token=token,
        label=None if label is None else _label(label),
        like=None if like is None else _like(like, sae_id),
        n=limit,
    )
    if json:
        print_json({"views": str(views), "hits": [_to_json(hit) for hit in hits]})
        return
    measure = "lift" if token is not None else "average precision" if label else "cosine"
    _show(hits, measure)


def _label(text: str) -> tuple[str, int]:
    from interp.results.errors import BadInput

    column, _, value = text.partition("=")
    if not column or not value.strip().lstrip("-").isdecimal():
        raise BadInput(f"--label {text!r}: expected COLUMN=VALUE with a whole number, like lang=2")
    return column, int(value)


def _like(text: str, sae_id: str | None) -> "tuple[SAE[Any], int | None]":
    from interp.dictionaries.files import open_dictionary

    dictionary, _, feature = text.rpartition(":")
    if not dictionary or not feature.isdecimal():
        return open_dictionary(text, sae_id=sae_id), None
    return open_dictionary(dictionary, sae_id=sae_id), int(feature)


def _to_json(hit: "FeatureHit") -> dict[str, Any]:
    return {key: None if value != value else value for key, value in vars(hit).items()}


def _show(hits: "tuple[FeatureHit, ...]", measure: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("feature", measure, "by chance", "q", "evidence")
    for column in table.columns[:4]:
        column.justify = "right"
    for hit in hits:
        q = "" if hit.q_value != hit.q_value else f"{hit.q_value:.2g}"
        cells = (str(hit.feature), f"{hit.score:.3g}", f"{hit.null:.3g}", q, visible(hit.evidence))
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table if hits else Text("no feature"))
