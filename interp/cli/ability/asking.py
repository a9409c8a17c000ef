"""Options of the verbs that put items to models, and the protocol that they add up to."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from interp.evaluation.protocol import Protocol


class RuleName(StrEnum):
    """What counts as right."""

    greedy = "greedy"
    choice = "choice"
    choice_per_byte = "choice_per_byte"
    generate = "generate"


Items = Annotated[
    list[Path],
    typer.Option("--items", help="jsonl with prompt and answer; may be repeated."),
]
Rule = Annotated[
    RuleName,
    typer.Option(
        "--rule",
        help="greedy: every token of the answer is the likeliest. choice: the likeliest of the "
        "choices, by sum or per byte. generate: what is said, normalised, is the answer.",
    ),
]
Split = Annotated[
    str | None, typer.Option("--split", help="Only items of this split; all if left out.")
]
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", help="Tokens to say an answer in, under generate.")
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", help="Text that ends what is said, under generate; may be repeated."),
]
Marker = Annotated[
    list[str] | None,
    typer.Option(
        "--marker",
        help="The answer follows the last of these, under generate; #### and answer: if left out. "
        "May be repeated.",
    ),
]
BatchRows = Annotated[
    int, typer.Option("--batch-size", help="Rows that go through the model at a time.")
]


def protocol_of(
    rule: RuleName, *, max_new_tokens: int, stop: list[str] | None, marker: list[str] | None
) -> "Protocol":
    """The protocol that the options say."""
    from interp.evaluation.normaliser import MARKERS, Normaliser
    from interp.evaluation.protocol import Protocol

    return Protocol(
        rule=rule.value,
        normaliser=Normaliser(markers=MARKERS if marker is None else tuple(marker)),
        max_new_tokens=max_new_tokens,
        stop=tuple(stop or ()),
    )
