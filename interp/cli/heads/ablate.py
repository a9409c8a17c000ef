"""`interp heads ablate`: whether the found heads are what a relation's answers come from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.heads.reading import Length, MinCoverage, typed
from interp.cli.options import (
    Device,
    Json,
    Out,
    Overwrite,
    Seed,
    at_least,
    between,
    print_json,
    say,
)
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.heads.ablation import AblationResult


def ablate(
    model: Annotated[str, typer.Argument(help="A decoder: hub id or directory, NAME@STEP.")],
    scores: Annotated[
        Path | None,
        typer.Argument(help="Finding of `interp heads relations --half first`; or name --head."),
    ] = None,
    *,
    relations: Annotated[
        str,
        typer.Option("--relations", help="CoNLL-U, triples in .jsonl, AGENDA .tsv."),
    ],
    out: Out,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="Ablate these, such as L1H2, whatever the scores say."),
    ] = None,
    detector: Annotated[
        str, typer.Option("--detector", help="Whose columns of the scores choose the heads.")
    ] = "relation",
    alpha: Annotated[
        float,
        typer.Option(
            "--alpha", help="Family-wise p of a found head is below it.", callback=between(0.0, 1.0)
        ),
    ] = 0.05,
    top: Annotated[
        int | None,
        typer.Option("--top", help="Only the best heads of each relation.", callback=at_least(1)),
    ] = None,
    by_relation: Annotated[
        bool, typer.Option("--by-relation", help="Ablate each relation's heads by themselves too.")
    ] = False,
    mode: Annotated[
        list[str] | None,
        typer.Option("--mode", help="mean, resample or zero; mean and resample if not given."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="event: where it is asked; all: every token; both."),
    ] = None,
    draws: Annotated[
        int,
        typer.Option(
            "--draws", help="Random groups of heads of the same layers.", callback=at_least(1)
        ),
    ] = 20,
    exact: Annotated[
        int,
        typer.Option(
            "--exact",
            help="Heads tried one by one: so many best, as many random.",
            callback=at_least(0),
        ),
    ] = 25,
    corruption: Annotated[
        Literal["auto", "tails", "heads"],
        typer.Option("--corruption", help="Entities exchanged for attribution patching."),
    ] = "auto",
    sequences: Annotated[
        int | None,
        typer.Option("--sequences", help="Ask these many; all if not given.", callback=at_least(1)),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Text: measure in-context loss reduction too.")
    ] = None,
    tasks: Annotated[
        Path | None, typer.Option("--tasks", help="Tasks of `interp heads icl`: ask them too.")
    ] = None,
    shots: Annotated[
        list[int] | None,
        typer.Option("--shots", help="Demonstrations in these tasks; 10.", callback=at_least(0)),
    ] = None,
    same_documents: Annotated[
        bool, typer.Option("--same-documents", help="Ablate where the heads were chosen.")
    ] = False,
    other_checkpoint: Annotated[
        bool,
        typer.Option("--other-checkpoint", help="Take scores of another checkpoint; it is said."),
    ] = False,
    length: Length = None,
    min_coverage: MinCoverage = 0.5,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Sequences in a batch.", callback=at_least(1))
    ] = 32,
    figures: Figures = None,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Replace found heads, and show what a relation's answers lose, beside random heads.

    Without SCORES and --head, heads are found on a random half of the documents. They are ablated
    on the other half.

    Example: interp heads ablate gpt2 scores --relations kg.jsonl --out ablated
    """
    command = typed(ablate, locals())
    from interp.corpus.relations import open_relations
    from interp.heads.ablation import ablate_found, ablate_heads, in_context_measures
    from interp.heads.attention import HeadGeometry
    from interp.heads.scores import HeadScores
    from interp.models.load import load

    check_alone("interp heads ablate")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    if head and by_relation:
        raise BadInput("--head names one group and --by-relation asks for several: choose one")
    if head and top is not None:
        raise BadInput("--top chooses of the scores and --head names heads: give one of them")
    if shots and tasks is None:
        raise BadInput("--shots is for --tasks: give tasks to ask, or leave it out")
    if other_checkpoint and scores is None:
        raise BadInput("--other-checkpoint is for SCORES: name them, or leave it out")
    made = None if scores is None else HeadScores.load(scores)
    bridge = load(model, device=device)
    HeadGeometry.of(bridge)
    corpus = open_relations(relations, bridge, length=length, min_coverage=min_coverage)
    settings = {
        "modes": mode or ("mean", "resample"),
        "where": where or ("event", "all"),
        "draws": draws,
        "exact": exact,
        "corruption": corruption,
        "sequences": sequences,
        "batch_size": batch_size,
        "same_documents": same_documents,
        "other_checkpoint": other_checkpoint,
        "seed": seed,
        "measures": in_context_measures(
            bridge, text=text, tasks=tasks, shots=shots or (10,), seed=seed
        ),
        "command": command,
    }
    if head:
        found = ablate_heads(bridge, head, corpus, scores=made, detector=detector, **settings)
    else:
        choice = {"alpha": alpha, "top": top, "by_relation": by_relation, "preset": detector}
        made, found = ablate_found(bridge, corpus, scores=made, **choice, **settings)
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.heads.pages import ablation_figures

        write_figures(ablation_figures(found, made), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        _show(found)
        say(f"\nwritten to {out}")


def _show(found: "AblationResult") -> None:
    from interp.heads.ablation.table import HEADING, notes, others_table, table

    show_table(HEADING, [*table(found), *others_table(found)], n_left=5)
    say("\n" + "\n".join(notes(found)))
