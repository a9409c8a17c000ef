"""`interp modules native`: how a model's own routers use its own experts."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.modules.native.routing import NativeRouting


def native(
    model: Annotated[
        str, typer.Argument(help="A mixture of experts: hub id or directory, NAME@STEP.")
    ],
    text: Annotated[
        str, typer.Option("--text", help="Text: .txt, .jsonl, .parquet, .npy of ids, hub dataset.")
    ],
    out: Out,
    label: Annotated[
        str | None,
        typer.Option("--label", help="Field that names a document's or token's function."),
    ] = None,
    capacity_factor: Annotated[
        float | None,
        typer.Option(
            "--capacity-factor",
            help="Slots of all experts over assignments; the model's own capacity, if not given.",
        ),
    ] = None,
    devices: Annotated[
        int, typer.Option("--devices", help="Devices the experts are dealt to, evenly.")
    ] = 1,
    group_sequences: Annotated[
        int, typer.Option("--group-sequences", help="Sequences that share a capacity.")
    ] = 1,
    order: Annotated[
        Literal["position", "score"],
        typer.Option("--order", help="Who finds room first: earlier tokens, or surer ones."),
    ] = "position",
    rounding: Annotated[
        Literal["ceil", "floor"], typer.Option("--rounding", help="Of a stated capacity.")
    ] = "ceil",
    restrict: Annotated[
        Literal["forbid", "only"] | None,
        typer.Option("--restrict", help="Close functions' experts, or all others: what is lost?"),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", help="Random sets of as many experts beside each.")
    ] = 20,
    permutations: Annotated[
        int, typer.Option("--permutations", help="Of labels and of experts, for the nulls.")
    ] = 1000,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens to read, at most a batch more.")
    ] = 50_000,
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
    """Read a mixture of experts: router load, entropy, overlap, functional experts, capacity.

    Example: interp modules native mixture --text topics.jsonl --label topic --capacity-factor 1.25
    --devices 4 --out routing
    """
    from interp.capture.distributed import current_ranks
    from interp.modules.native.run import read_native

    ranks = current_ranks()
    ranks.first_only(lambda: check_out(out, replace=overwrite))
    ranks.first_only(lambda: check_figures(figures, out=out, overwrite=overwrite))
    found = read_native(
        model,
        text,
        label=label,
        length=length,
        packing=packing,
        field=field,
        max_tokens=max_tokens,
        batch_size=batch_size,
        capacity_factor=capacity_factor,
        rounding=rounding,
        order=order,
        devices=devices,
        group_sequences=group_sequences,
        restrict=restrict,
        draws=draws,
        permutations=permutations,
        seed=seed,
        device=device,
        command=f"interp modules native {model} --text {text} --out {out}",
    )
    if ranks.rank:
        return
    found.save(out, overwrite=overwrite)
    if figures is not None:
        write_figures(_drawn(found), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    for title, heading, lines in _tables(found):
        show_table(heading, lines, title=title)
        print()
    say("\n".join([*found.notes(), f"written to {out}"]))


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _drawn(found: "NativeRouting") -> "dict[str, go.Figure]":
    from interp.plots import native_moe as plots

    drawn = {"load": plots.load_figure(found)}
    if found.functions is not None:
        drawn |= {f"functions-{site}": plots.function_figure(found, site) for site in found.sites}
    if found.capacity is not None:
        drawn["capacity"] = plots.capacity_figure(found)
    return drawn


def _tables(found: "NativeRouting") -> list[Table]:
    from interp.plots import native_moe as rows

    tables = [("router load", *rows.load_rows(found)), ("pairs", *rows.overlap_rows(found))]
    if found.functions is not None:
        tables.append(("functions", *rows.function_rows(found)))
    if found.capacity is not None:
        tables.append(("capacity", *rows.capacity_rows(found)))
    if found.restriction is not None:
        tables.append(("restricted routers", *rows.restriction_rows(found)))
    return tables
