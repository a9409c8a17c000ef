"""`interp dictionary views`: what every feature of a dictionary does over a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, Out, Overwrite, Seed, print_json, say
from interp.results.atomic import check_out

if TYPE_CHECKING:
    from interp.dictionaries.views.feature_views import FeatureViews


def views(
    dictionary: Annotated[
        str, typer.Argument(help="Bundled name, sae-lens directory, or a release with --sae-id.")
    ],
    store: Annotated[Path, typer.Option("--store", help="A directory that `interp capture` made.")],
    out: Out,
    model: Annotated[
        str | None, typer.Option("--model", help="The store's model, to view logits as well.")
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="Site to read; the dictionary's own.")
    ] = None,
    neurons: Annotated[
        str | None, typer.Option("--neurons", help="A second site, to correlate features with.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--labels", help="Label column; may be repeated. All that fit, if not given."),
    ] = None,
    sae_id: Annotated[
        str | None, typer.Option("--sae-id", help="Dictionary within a release.")
    ] = None,
    strongest: Annotated[
        int, typer.Option("--strongest", help="Strongest contexts kept of each feature.")
    ] = 10,
    sampled: Annotated[
        int, typer.Option("--sampled", help="Contexts drawn evenly from all firings of each.")
    ] = 16,
    width: Annotated[int, typer.Option("--width", help="Tokens shown on either side.")] = 8,
    seed: Seed = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Use it on another model or site all the same.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """View every feature in one pass over a store: contexts, density, logits, labels, company.

    Example: interp dictionary views sae --store store --model polyglot --out views
    """
    from interp.dictionaries.views.run import view_features

    check_out(out, replace=overwrite)
    found = view_features(
        dictionary,
        store,
        sae_id=sae_id,
        model=model,
        site=site,
        neurons=neurons,
        labels=labels,
        n_strongest=strongest,
        n_sampled=sampled,
        width=width,
        seed=seed,
        force=force,
    )
    found.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **_summary(found)})
        return
    say(f"{out}: {_text(found)}")


def _summary(found: "FeatureViews") -> dict[str, Any]:
    n_active = found.activity.n_active
    return {
        "dictionary": found.dictionary,
        "sae_id": found.sae_id,
        "weights_sha256": found.weights_sha256,
        "site": found.site,
        "n_rows": found.n_rows,
        "d_sae": found.d_sae,
        "n_silent": int((n_active == 0).sum()),
        "active_per_row": float(n_active.sum() / max(found.n_rows, 1)),
        "coactivation_rows": found.coactivation.n_rows,
        "neurons": None if found.neurons is None else found.neurons.site,
        "logits": found.logits is not None,
        "labels": {label.column: _above(label) for label in found.labels},
        "label_units": {label.column: label.unit for label in found.labels},
        "labels_left_out": found.labels_left_out,
    }


def _above(label: Any) -> int:
    """Features that stand above chance for some value of the label."""
    above = (label.q_value <= 0.05) & (label.average_precision > label.base_rate)
    return int(above.any(axis=1).sum())


def _text(found: "FeatureViews") -> str:
    summary = _summary(found)
    lines = [
        f"{found.d_sae:,} features of {found.site} over {found.n_rows:,} rows",
        f"  {summary['active_per_row']:.1f} fire on a row; {summary['n_silent']:,} never fire",
    ]
    for column, above in summary["labels"].items():
        note = "; rows count as independent" if summary["label_units"][column] == "rows" else ""
        lines.append(
            f"  {column}: {above:,} features tell a value of it above chance (FDR 0.05{note})"
        )
    for column, why in found.labels_left_out.items():
        lines.append(f"  {column} was left out: it {why}")
    if found.logits is None:
        lines.append("  no logits: pass --model to view them")
    return "\n".join(lines)
