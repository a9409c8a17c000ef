"""`interp heads score`: every head under every detector, beside what chance gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.heads.reading import refuse_twice, typed
from interp.cli.heads.settings import settings_from
from interp.cli.options import Device, Json, Out, Overwrite, Seed, at_least, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.heads.scores import HeadScores


def score(
    model: Annotated[str, typer.Argument(help="A decoder: hub id or directory, NAME@STEP.")],
    out: Out,
    detector: Annotated[
        list[str] | None,
        typer.Option("--detector", help="One of `interp heads list`; all that share if not given."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Text: .txt, .jsonl, .parquet, .npy of ids, hub dataset."),
    ] = None,
    relations: Annotated[
        str | None,
        typer.Option("--relations", help="CoNLL-U, triples in .jsonl, AGENDA .tsv; also text."),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option("--items", help="For `function_vector`: jsonl of task, input, output."),
    ] = None,
    needles: Annotated[
        Path | None,
        typer.Option(
            "--needles", help="For `retrieval`: jsonl of needle, question; key-value lines without."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for `function_vector` and `retrieval`: n_shots=5."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern", help="For `pattern`: a .npy of queries by keys, or a head of detect_head."
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="For `successor`: ordered classes of words.")
    ] = None,
    offset: Annotated[
        list[int] | None,
        typer.Option("--offset", help="For `offset`: tokens back; 2 and 3.", callback=at_least(1)),
    ] = None,
    half: Annotated[
        Literal["first", "second"] | None,
        typer.Option("--half", help="Only half of the documents of --relations, to choose on."),
    ] = None,
    sequences: Annotated[
        int,
        typer.Option(
            "--sequences", help="Of the text, and as many of random tokens.", callback=at_least(1)
        ),
    ] = 200,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            help="Tokens of a sequence; 128, or the context if shorter.",
            callback=at_least(1),
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", help="Relabellings behind every p.", callback=at_least(1))
    ] = 10_000,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    field: Annotated[str, typer.Option("--field", help="Field that holds the text.")] = "text",
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Sequences in a batch.", callback=at_least(1))
    ] = 8,
    top: Annotated[
        int, typer.Option("--top", help="Heads shown of each column.", callback=at_least(1))
    ] = 3,
    seed: Seed = 0,
    device: Device = "cpu",
    figures: Figures = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score every head under every detector, beside chance and corrected for all heads.

    Example: interp heads score polyglot --text text.jsonl --out scores
    """
    command = typed(score, locals())
    from interp.heads.score import score_heads

    check_alone("interp heads score")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    chosen = settings_from(settings or [])
    refuse_twice("--detector", detector)
    for option, value, reader in (
        ("--pattern", pattern, "pattern"),
        ("--offset", offset, "offset"),
        ("--classes", classes, "successor"),
        ("--needles", needles, "retrieval"),
        ("--items", items, "function_vector"),
    ):
        if value and reader not in (detector or ()):
            raise BadInput(f"{option} is read by --detector {reader}: name it, or leave it out")
    bridge, related = _half(model, relations, half, length=length, seed=seed, device=device)
    found = score_heads(
        bridge,
        detector or None,
        text=text,
        relations=related,
        items=items,
        length=length,
        sequences=sequences,
        draws=draws,
        packing=packing,
        field=field,
        batch_size=batch_size,
        seed=seed,
        device=device,
        command=command,
        pattern=pattern,
        classes=classes,
        offsets=offset,
        needles=needles,
        **chosen,
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.heads.pages import scores_figures

        write_figures(scores_figures(found), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    _show(found, top)
    say(f"\nwritten to {out}")


def _half(
    model: str,
    relations: str | None,
    half: str | None,
    *,
    length: int | None,
    seed: int,
    device: str,
) -> tuple[Any, Any]:
    """The model and its relations, opened only where half of them is asked for."""
    if half is None:
        return model, relations
    if relations is None:
        raise BadInput("--half is of the documents of --relations: give both")
    from interp.corpus.relations import open_relations
    from interp.models.load import load

    bridge = load(model, device=device)
    return bridge, open_relations(relations, bridge, length=length).halves(seed)[half == "second"]


def _show(found: "HeadScores", top: int) -> None:
    show_table(*found.table(top), n_left=2)
    say("")
    for name in found.names:
        heads = found.significant(name)
        n_tested = int(found.tested(name).sum())
        listed = ", ".join(map(str, heads[:12])) + (" and more" if len(heads) > 12 else "")
        colon = ": " if heads else ""
        extra = found.columns[found.column(name)].above_zero
        also = "" if extra is None else f" and {extra} above 0"
        say(f"{name}: {len(heads)} of {n_tested} heads at family-wise .05{also}{colon}{listed}")
