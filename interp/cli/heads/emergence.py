"""`interp heads emergence`: when heads of relations form in training, and what comes with it."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.heads.reading import Length, MinCoverage, typed
from interp.cli.options import Device, Json, Out, Overwrite, Seed, at_least, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone


def emergence(
    series: Annotated[
        str, typer.Argument(help="Checkpoints: a bundled series, a directory of step-N, a hub id.")
    ],
    relations: Annotated[
        str, typer.Option("--relations", help="CoNLL-U, triples in .jsonl, AGENDA .tsv.")
    ],
    out: Out,
    icl: Annotated[
        Path | None,
        typer.Option("--icl", help="What `interp heads icl` made of the same checkpoints."),
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Only these steps, with commas; all there are.")
    ] = None,
    preset: Annotated[
        str, typer.Option("--preset", help="Score, as for `interp heads relations`.")
    ] = "relation",
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="Trace this head (L1H2) instead of those found; repeatable."),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", help="Heads traced for each relation.", callback=at_least(1))
    ] = 3,
    random: Annotated[
        int,
        typer.Option(
            "--random",
            help="Groups of random heads to ablate beside; 0: no ablation.",
            callback=at_least(0),
        ),
    ] = 5,
    draws: Annotated[
        int, typer.Option("--draws", help="Relabellings behind every p.", callback=at_least(1))
    ] = 2000,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap", help="Resamplings behind every interval.", callback=at_least(1)
        ),
    ] = 1000,
    length: Length = None,
    min_coverage: MinCoverage = 0.5,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Sequences in a batch.", callback=at_least(1))
    ] = 16,
    figures: Figures = None,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Follow heads over checkpoints: change points, lags to what the model answers, ablation.

    Heads are chosen at the last checkpoint on one half of the documents and traced on the other.

    Example: interp heads emergence relations/binding --relations facts.jsonl --out emergence
    """
    command = typed(emergence, locals())
    from interp.heads.emergence import follow_heads

    check_alone("interp heads emergence")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    found = follow_heads(
        series,
        relations,
        length=length,
        min_coverage=min_coverage,
        steps=None if steps is None else _numbers(steps),
        icl=icl,
        preset=preset,
        heads=head or (),
        top=top,
        n_random=random,
        draws=draws,
        bootstrap=bootstrap,
        batch_size=batch_size,
        seed=seed,
        device=device,
        command=command,
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.heads.pages import emergence_figures

        write_figures(emergence_figures(found), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    show_table(*found.table())
    say("")
    for note in found.notes():
        say(note)
    say(f"\nwritten to {out}")


def _numbers(steps: str) -> list[int]:
    try:
        return [int(step) for step in steps.split(",")]
    except ValueError as error:
        raise BadInput(f"--steps {steps}: whole numbers with commas between them") from error
