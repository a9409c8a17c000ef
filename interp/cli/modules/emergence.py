"""`interp modules emergence`: when neurons, experts and partitions settle over a training run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.cli.tables import show_table
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.modules.emergence import Stability

_FIGURE = "emergence.html"


def emergence(
    series: Annotated[
        str, typer.Argument(help="Checkpoints: a bundled series, a directory of step-N, a hub id.")
    ],
    text: Annotated[
        str, typer.Option("--text", help="Labelled text, the same for every checkpoint.")
    ],
    labels: Annotated[
        list[str], typer.Option("--label", help="Field with a label; may be repeated.")
    ],
    n_experts: Annotated[int, typer.Option("--n-experts", help="Equal experts of a layer.")],
    out: Out,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Only these steps, with commas; all there are.")
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option("--site", help="Sites of neurons; every mlp.hook_post. May be repeated."),
    ] = None,
    reference: Annotated[
        int | None, typer.Option("--reference", help="Step whose weights give the experts; last.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="When a neuron is active, as for sparsity.")
    ] = None,
    restarts: Annotated[
        int, typer.Option("--restarts", help="Starts of clustering, at least 8.")
    ] = 8,
    draws: Annotated[int, typer.Option("--draws", help="Random partitions, at least 50.")] = 50,
    permutations: Annotated[
        int, typer.Option("--permutations", help="Shuffles of the labels behind each score.")
    ] = 20,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="How close a curve must stay to have settled.")
    ] = 0.1,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens to read, at most.")
    ] = 50_000,
    length: Annotated[
        int | None,
        typer.Option("--length", help="Positions of one sequence; 128, or the context if shorter."),
    ] = None,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Follow a series of checkpoints: stability of neurons, experts and partitions, sparsity.

    A checkpoint that is done is kept: the same command goes on with the rest. The figure with all
    curves is emergence.html in --out.

    Example: interp modules emergence functions/planted --text lines.jsonl --label function
    --length 19 --n-experts 12 --out emergence
    """
    from interp.modules.emergence import follow_series
    from interp.neurons.sparsity import ActivityRule

    if not 0 < tolerance < 1:
        raise BadInput(f"--tolerance {tolerance}: expected a number between 0 and 1")
    found = follow_series(
        series,
        text,
        out,
        labels=labels,
        n_experts=n_experts,
        steps=None if steps is None else _numbers(steps),
        sites=sites or [],
        reference=reference,
        rule=None if rule is None else ActivityRule.parse(rule),
        n_starts=restarts,
        n_random=draws,
        n_permutations=permutations,
        max_tokens=max_tokens,
        length=length,
        packing=packing,
        device=device,
        seed=seed,
        overwrite=overwrite,
        command=f"interp modules emergence {series} --text {text} --out {out}",
    )
    _write_figure(found, out)
    if json:
        print_json({"path": str(out), **found.to_json(tolerance=tolerance)})
    else:
        _show(found, tolerance)
        say(f"\nwritten to {out}, the figure to {out / _FIGURE}")


def _numbers(steps: str) -> list[int]:
    try:
        return [int(step) for step in steps.split(",")]
    except ValueError as error:
        raise BadInput(f"--steps {steps}: whole numbers with commas between them") from error


def _write_figure(found: "Stability", out: Path) -> None:
    from interp.plots.emergence import emergence_figure
    from interp.results.atomic import atomic_file

    html = emergence_figure(found).to_html(include_plotlyjs=True, full_html=True)
    with atomic_file(out / _FIGURE) as temporary:
        temporary.write_text(html, encoding="utf-8")


def _show(found: "Stability", tolerance: float) -> None:
    show_table(*found.table())
    print("")
    for note in found.notes(tolerance=tolerance):
        say(note)
