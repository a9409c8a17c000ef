"""Options that several verbs of `interp ability` share."""

from enum import StrEnum
from math import exp, log
from pathlib import Path
from typing import Annotated

import typer


class PresetName(StrEnum):
    """maet: beta 0.25, k2 0.8. plain: two-vector addition, beta 0, k2 1, no mask."""

    maet = "maet"
    plain = "plain"


class DType(StrEnum):
    """Number formats to write."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


Base = Annotated[str, typer.Argument(help="Base model: bundled name, directory or hub id.")]
Examples = Annotated[
    Path, typer.Argument(help='Training jsonl: {"prompt", "answer"} or {"text"} on each line.')
]
Steps = Annotated[int, typer.Option("--steps", help="Training steps.")]
Rate = Annotated[float, typer.Option("--lr", help="Learning rate after the warm-up.")]
Batch = Annotated[int, typer.Option("--batch-size", help="Examples a step.")]
Warmup = Annotated[int, typer.Option("--warmup", help="Steps of linear warm-up.")]
PresetOption = Annotated[
    PresetName, typer.Option("--preset", help="Defaults that belong together.")
]
Cast = Annotated[bool, typer.Option("--cast", help="Allow models in different number formats.")]
HashCache = Annotated[
    Path | None,
    typer.Option("--hash-cache", help="File of hashes kept between commands, by path and time."),
]
WrittenFormat = Annotated[
    DType | None, typer.Option("--dtype", help="Number format to write; the base's.")
]
SkipEmbeddings = Annotated[
    bool, typer.Option("--skip-embeddings", help="Leave tables of tokens as in the base.")
]


def p_text(log_p: float) -> str:
    """A p from its natural logarithm, also where it is smaller than any float."""
    if log_p > log(1e-300):
        return f"{exp(log_p):.2g}"
    return f"1e{log_p / log(10):.0f}"
