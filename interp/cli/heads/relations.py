"""`interp heads relations`: which heads raise a relation's tail when they attend to its head."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.heads.reading import Length, MinCoverage, refuse_twice, typed
from interp.cli.options import Device, Json, Out, Overwrite, Seed, at_least, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out

if TYPE_CHECKING:
    from interp.heads.scores import HeadScores

_HEADING = ("column", "head", "score", "by chance", "p adj", "raise (nats)", "rate", "strength",
            "1/n", "copying")  # fmt: skip


def relations(
    model: Annotated[str, typer.Argument(help="A decoder: hub id or directory, NAME@STEP.")],
    source: Annotated[str, typer.Argument(help="CoNLL-U, triples in .jsonl, or AGENDA .tsv.")],
    out: Out,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            "--preset",
            help="relation, relation_static, ren2024 or ren2024_dev; repeatable; relation.",
        ),
    ] = None,
    null: Annotated[
        Literal["typed", "visible", "tenth"],
        typer.Option("--null", help="Control tails: of the tail's type, any token, the tenth."),
    ] = "typed",
    match: Annotated[
        Literal["auto", "distance", "side", "type"],
        typer.Option("--match", help="How alike in place typed controls must be."),
    ] = "auto",
    half: Annotated[
        Literal["first", "second"] | None,
        typer.Option("--half", help="Only half of the documents, to choose heads on."),
    ] = None,
    length: Length = None,
    min_coverage: MinCoverage = 0.5,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="Raise the head when attending to the tail.")
    ] = False,
    draws: Annotated[
        int, typer.Option("--draws", help="Relabellings behind every p.", callback=at_least(1))
    ] = 10_000,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Sequences in a batch.", callback=at_least(1))
    ] = 8,
    top: Annotated[
        int, typer.Option("--top", help="Heads shown of each relation.", callback=at_least(1))
    ] = 3,
    figures: Figures = None,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find semantic induction heads: what each head raises when it attends to a relation's head.

    Score: the share of what the head raises that goes to the true tail, when it attends.

    By chance: the same share for control tails. Raise: the tail's logit over the other candidates'.

    Rate: how often the head attends. Strength: the tail's share then. Coverage: how often any head
    found attends.

    Example: interp heads relations relations/grammar sentences.conllu --out found
    """
    command = typed(relations, locals())
    from interp.capture.distributed import current_ranks
    from interp.corpus.relations import open_relations
    from interp.heads.attention import HeadGeometry
    from interp.heads.relations.choices import choices_of
    from interp.heads.relations.run import score_relations
    from interp.models.load import load

    ranks = current_ranks()
    ranks.first_only(lambda: check_out(out, replace=overwrite))
    ranks.first_only(lambda: check_figures(figures, out=out, overwrite=overwrite))
    refuse_twice("--preset", preset)
    presets = [choices_of(name) for name in preset or ["relation"]]
    bridge = load(model, device=device)
    HeadGeometry.of(bridge)
    corpus = open_relations(source, bridge, length=length, min_coverage=min_coverage)
    if half is not None:
        corpus = corpus.halves(seed)[half == "second"]
    found = score_relations(
        bridge,
        corpus.reversed() if reverse else corpus,
        preset=presets,
        match=match,
        null=null,
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        command=command,
    )
    if ranks.rank > 0:
        return
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.heads.pages import scores_figures

        write_figures(scores_figures(found), figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    _show(found, top)
    say(f"\nwritten to {out}")


def _show(found: "HeadScores", top: int) -> None:
    lines, coverage = [], []
    for name in found.names:
        chosen = found.significant(name)
        heads = chosen[:top] or found.top(name, top)
        lines += [_line(found, name, head) for head in heads]
        if not heads:
            lines.append((name, "none tested: all attend too rarely", *[""] * (len(_HEADING) - 2)))
        coverage.append(_coverage(found, name, list(map(str, chosen))))
    show_table(_HEADING, lines, n_left=2)
    say("")
    say("\n".join(coverage))


def _line(found: "HeadScores", name: str, head: tuple[int, int]) -> tuple[str, ...]:
    def number(array: str, form: str = ".3f") -> str:
        value = float(found.array(array, name)[head])
        return "-" if value != value else format(value, form)

    low, high = number("raise_low", "+.2f"), number("raise_high", "+.2f")
    shown = ("rate", "strength", "uniform", "copying")
    return (
        name,
        f"L{head[0]}H{head[1]}",
        number("score"),
        number("null_mean"),
        number("p_adj", ".2g"),
        f"{number('raise', '+.2f')} [{low}, {high}]",
        *(number(array) for array in shown),
    )


def _coverage(found: "HeadScores", name: str, heads: list[str]) -> str:
    note = found.notes[name]
    n_tested = int(found.tested(name).sum())
    listed = ": " + ", ".join(heads[:12]) + (" ..." if len(heads) > 12 else "") if heads else ""
    left = "".join(f"; {why}: {n}" for why, n in sorted(note["left_out"].items()))
    return (
        f"{name}: {len(heads)} of {n_tested} heads at family-wise .05{listed}\n"
        f"  by chance: {found.columns[found.column(name)].null}\n"
        f"  coverage {note['coverage']:.3f}; {note['n_untested']} heads attend too rarely to test; "
        f"{note['n_triplets_with_controls']:,} of {note['n_triplets']:,} triplets have controls, "
        f"{note['n_triplets_tail_first']:,} tail first{left}"
    )
