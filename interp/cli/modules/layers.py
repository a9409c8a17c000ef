"""`interp modules layers`: which layers see the same, and what is lost with fewer of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.modules.layers.analysis import LayerAnalysis


def layers(
    model: Annotated[str, typer.Argument(help="A decoder: hub id or directory, NAME@STEP.")],
    text: Annotated[
        str, typer.Option("--text", help="Text: .txt, .jsonl, .parquet, .npy of ids, hub dataset.")
    ],
    out: Out,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Similarity from its blocks.*.hook_resid_post instead."),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", help="How many; by the largest fall in similarity if not given."
        ),
    ] = None,
    shortened: Annotated[
        Path | None,
        typer.Option("--shortened", help="Also write the shared model, a Hugging Face directory."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="A checkpoint of the same shape: the loss on the line to it."),
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Models on that line.")] = 25,
    swaps: Annotated[
        bool, typer.Option("--swaps", help="Also every layer in the place of every other.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove/--no-remove", help="Skip each layer, one at a time.")
    ] = True,
    draws: Annotated[
        int, typer.Option("--draws", help="Random choices of as many layers beside the centres.")
    ] = 20,
    sequences: Annotated[
        int, typer.Option("--sequences", help="For similarity; other ones are for losses.")
    ] = 512,
    evaluated: Annotated[int, typer.Option("--evaluated", help="Sequences for losses.")] = 128,
    minibatch: Annotated[int, typer.Option("--minibatch", help="Sequences a CKA estimate.")] = 64,
    pooling: Annotated[
        Literal["mean", "weighted", "max", "last"],
        typer.Option("--pooling", help="One state of a sequence; weighted: the t-th token by t."),
    ] = "weighted",
    biased: Annotated[
        bool, typer.Option("--biased", help="CKA as often published, with its floor d/(d + n).")
    ] = False,
    length: Annotated[
        int | None,
        typer.Option("--length", help="Positions of one sequence; 128, or the context if shorter."),
    ] = None,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    field: Annotated[str, typer.Option("--field", help="Field that holds the text.")] = "text",
    batch_size: Annotated[int, typer.Option("--batch-size", help="Sequences in a batch.")] = 16,
    seed: Seed = 0,
    device: Device = "cpu",
    figures: Figures = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compare layers, cluster neighbours, skip each, and let the centres run for all.

    Example: interp modules layers polyglot --text text.jsonl --clusters 3 --out layers
    """
    from interp.capture.distributed import current_ranks
    from interp.modules.layers.run import analyse_layers
    from interp.modules.layers.writing import write_shortened

    first = current_ranks().rank == 0
    for place in (out, shortened) if first else ():
        if place is not None:
            check_out(place, replace=overwrite)
    if first:
        check_figures(figures, out=out, overwrite=overwrite)
    found = analyse_layers(
        model,
        text,
        store=store,
        n_clusters=clusters,
        remove=remove,
        swaps=swaps,
        draws=draws,
        to=to,
        points=points,
        n_sequences=sequences,
        n_evaluated=evaluated,
        minibatch=minibatch,
        pooling=pooling,
        estimator="biased" if biased else "debiased",
        length=length,
        packing=packing,
        field=field,
        batch_size=batch_size,
        seed=seed,
        device=device,
        command=f"interp modules layers {model} --text {text} --out {out}",
    )
    if not first:
        return
    found.save(out, overwrite=overwrite)
    if figures is not None:
        write_figures(_drawn(found), figures, overwrite=overwrite)
    if shortened is not None and found.shortened is not None:
        write_shortened(model, found.shortened.sources.tolist(), shortened, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    _show(found)
    say(f"\nwritten to {out}" + ("" if shortened is None else f" and {shortened}"))


def _drawn(found: "LayerAnalysis") -> "dict[str, go.Figure]":
    from interp.plots import layers as plots

    drawn = {"similarity": plots.similarity_map(found)}
    if found.removal is not None:
        drawn["removal"] = plots.removal_plot(found)
    if found.line is not None:
        drawn["line"] = plots.line_plot(found)
    return drawn


def _show(found: "LayerAnalysis") -> None:
    show_table(*found.table())
    say("\n" + "\n".join(found.notes()))
