"""`interp ability evaluate`: accuracy of models by task and language, every answer kept."""

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
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Bundled names, directories or hub ids; the first is tested against."
        ),  # fmt: skip
    ],
    items: Items,
    out: Out,
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
    """Accuracy of models by task and language, tested against the first; writes an evaluation.

    Items are jsonl with prompt and answer, and if you like choices, task, language, split and id.
    The directory holds answers.jsonl: what every model said to every item, and whether it was
    right. Tests are exact McNemar on the same items, with Holm over all of them.

    Example: interp ability evaluate polyglot polyglot/ability --items test.jsonl --out evaluation
    """
    from interp.evaluation.evaluate import evaluate

    check_out(out, replace=overwrite)
    table = evaluate(
        models,
        items,
        protocol=protocol_of(rule, max_new_tokens=max_new_tokens, stop=stop, marker=marker),
        split=split,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    table.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out)} | table.to_json())
    else:
        print(table.text_table())
