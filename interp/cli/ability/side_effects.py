"""`interp ability side-effects`: what an edit of a model did beside what it was made for."""

from pathlib import Path
from typing import Annotated

import typer

from interp.cli.ability.asking import (
    BatchRows,
    Items,
    Marker,
    MaxNewTokens,
    Rule,
    RuleName,
    Split,
    Stop,
    protocol_of,
)
from interp.cli.ability.options import Base
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out


def side_effects(
    base: Base,
    edited: Annotated[list[str], typer.Argument(help="Edited models, one or several.")],
    items: Items,
    out: Out,
    text: Annotated[
        Path | None,
        typer.Option("--text", help="Neutral text for KL and bits per byte: .txt, .jsonl, ..."),
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option("--targets", help="Languages the edit was made for, with commas."),
    ] = None,
    ability_task: Annotated[
        str, typer.Option("--ability-task", help="The task the edit was made for.")
    ] = "ability",
    rule: Rule = RuleName.greedy,
    split: Split = None,
    max_new_tokens: MaxNewTokens = 64,
    stop: Stop = None,
    marker: Marker = None,
    batch_size: BatchRows = 256,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """What edits did to other abilities and languages, with the worst cell; writes a report.

    Accuracy minus the base's by task and language, with paired intervals; a harm index beside what
    exchanging the two models' outcomes at random gives; how far text and weights moved; answers in
    another language.

    Example: interp ability side-effects polyglot polyglot/ability --items test.jsonl
    --text general.txt --targets D,E --out report
    """
    from interp.abilities.effects.side_effect_measurement import side_effects

    check_out(out, replace=overwrite)
    report = side_effects(
        base,
        edited,
        items,
        text=text,
        ability_task=ability_task,
        targets=[target.strip() for target in targets.split(",")] if targets else (),
        protocol=protocol_of(rule, max_new_tokens=max_new_tokens, stop=stop, marker=marker),
        split=split,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    report.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out)} | report.to_json())
    else:
        print(report.text_table())
