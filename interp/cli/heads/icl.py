"""`interp heads icl`: loss reduction, format and pattern over shots, of a model or a series."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.heads.reading import typed
from interp.cli.options import Device, Json, Out, Overwrite, Seed, at_least, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone


def icl(
    model: Annotated[
        str, typer.Argument(help="Model, or a series of checkpoints; NAME@STEP is one of them.")
    ],
    out: Out,
    tasks: Annotated[
        Path | None, typer.Option("--tasks", help="Tasks file (JSON); English words if not given.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Text to measure loss reduction on.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Only these steps of a series, with commas.")
    ] = None,
    shots: Annotated[
        str, typer.Option("--shots", help="How many lines are shown, with commas.")
    ] = "0,1,2,3,4,5,10,20",
    prompts: Annotated[
        int,
        typer.Option(
            "--prompts",
            help="Prompts of each task and number of lines, at least.",
            callback=at_least(1),
        ),
    ] = 200,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            help="Tokens of a text; 501, or the context if shorter.",
            callback=at_least(4),
        ),
    ] = None,
    sequences: Annotated[
        int, typer.Option("--sequences", help="Of the text, at most.", callback=at_least(1))
    ] = 100,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    seed: Seed = 0,
    device: Device = "cpu",
    figures: Figures = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure in-context learning: loss reduction, the form of answers, and their pattern.

    Every checkpoint of a series gets the same prompts; beside each share stands what shuffled
    labels give.

    Example: interp heads icl relations/grammar --tasks tasks.json --out levels
    """
    command = typed(icl, locals())
    from interp.heads.icl import measure_levels

    check_alone("interp heads icl")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    found = measure_levels(
        model,
        tasks,
        text=text,
        steps=None if steps is None else _numbers(steps, "--steps"),
        shots=_numbers(shots, "--shots"),
        n_prompts=prompts,
        length=length,
        packing=packing,
        n_sequences=sequences,
        seed=seed,
        device=device,
        command=command,
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.heads.pages import icl_figures

        write_figures(icl_figures(found), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    show_table(*found.table(), n_left=2)
    say("")
    for note in found.notes():
        say(note)
    say(f"\nwritten to {out}")


def _numbers(listed: str, option: str) -> list[int]:
    try:
        numbers = [int(number) for number in listed.split(",")]
    except ValueError as error:
        raise BadInput(f"{option} {listed}: whole numbers with commas between them") from error
    if min(numbers) < 0:
        raise BadInput(f"{option} {listed}: {min(numbers)} is below 0, give whole numbers from 0")
    return numbers
