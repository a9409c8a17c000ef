"""`interp ability plan`: what a job takes, before it is run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.cli.options import Json, print_json, say

if TYPE_CHECKING:
    from interp.abilities.planning.plan import Plan


class JobName(StrEnum):
    """What is planned."""

    locate = "locate"
    extract = "extract"
    transfer = "transfer"
    merge = "merge"
    maet = "maet"


def plan(
    base: Annotated[
        str | None, typer.Argument(help="Base model: bundled name, directory or hub id.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", help="A public model's shape instead: llama-3-70b, ...")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A config.json alone instead.")
    ] = None,
    job: Annotated[JobName, typer.Option("--job", help="What is to be done.")] = JobName.maet,
    ability: Annotated[
        Path | None,
        typer.Option(
            "--ability",
            help="extract: the ability model; transfer: ability weights; locate: trained model.",
        ),
    ] = None,
    general: Annotated[
        Path | None, typer.Option("--general", help="extract: the general control.")
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help="A language model, or one to merge; may be repeated."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="extract: the mask, read for its counts.")
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Share of the entries, without a mask.")
    ] = None,
    k2: Annotated[float, typer.Option("--k2", help="transfer: share of tensors selected.")] = 1.0,
    method: Annotated[
        str, typer.Option("--method", help="merge: task_arithmetic, ties, ...")
    ] = "task_arithmetic",
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float16, bfloat16 or float32.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="maet: steps of each training.")] = 400,
    tokens: Annotated[int, typer.Option("--tokens", help="maet: tokens of a step.")] = 8192,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", help="Directory whose disk is measured by a 256 MB probe."),
    ] = None,
    json: Json = False,
) -> None:
    """State time, memory and disk of a job from headers, a config or a public shape alone.

    Example: interp ability plan --like llama-3-70b --job transfer --share 0.05 --language x

    Measured: interp ability plan models/base --job extract --share 0.05 --calibrate .
    """
    from interp.abilities.planning.rates import SUPPOSED, measured_rates
    from interp.abilities.planning.request import Request, plan_of

    found = plan_of(
        Request(
            job=job.value,
            base=base,
            config=config,
            like=like,
            ability=ability,
            general=general,
            languages=tuple(language or ()),
            mask=mask,
            share=share,
            k2=k2,
            method=method,
            dtype=dtype,
            steps=(100, steps),
            tokens_a_step=tokens,
            rates=SUPPOSED if calibrate is None else measured_rates(calibrate),
        )
    )
    if json:
        print_json(found.to_json())
    else:
        say(_text(found))


def _text(plan: "Plan") -> str:
    low, high = plan.seconds
    how = "from headers" if plan.exact else "supposed: shards of 5 GB or supports not yet made"
    lines = [
        f"{plan.job} of {plan.model}: {plan.n:,} entries, {_bytes(plan.n_bytes)} in {plan.dtype}",
        f"  time    {_time(low)} to {_time(high)} ({plan.rates.source} rates)",
        f"  memory  {_bytes(plan.memory)} at most",
        f"  disk    {_bytes(plan.disk)} free needed",
        *(f"          {name}: {size:,} bytes" for name, size in plan.outputs.items()),
        f"  passes  {_bytes(plan.reads)} read, {_bytes(plan.writes)} written; {how}",
    ]
    for one in plan.passes:
        low, high = one.seconds(plan.rates)
        lines.append(
            f"    {one.name}: {_bytes(one.reads)} read, {_bytes(one.writes)} written, "
            f"{_time(low)} to {_time(high)}"
        )
    return "\n".join([*lines, *(f"  note: {note}" for note in plan.notes)])


def _bytes(n: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n >= size:
            return f"{n / size:,.1f} {unit}"
    return f"{n:,} bytes"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * 1.5:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"
