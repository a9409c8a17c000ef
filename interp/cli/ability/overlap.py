"""`interp ability overlap`: what masks share, against chance, and masks combined."""

from enum import StrEnum
from itertools import combinations
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.ability.options import p_text
from interp.cli.options import Json, Overwrite, print_json, say
from interp.results.atomic import check_out
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.abilities.masks.overlap import Overlap


class OperationName(StrEnum):
    """difference: what the first mask holds and the second does not."""

    union = "union"
    intersection = "intersection"
    difference = "difference"


def overlap(
    masks: Annotated[list[Path], typer.Argument(help="Two masks of one model, or more.")],
    write: Annotated[
        OperationName | None,
        typer.Option("--write", help="Write the masks combined, from left to right, to --out."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where --write puts the mask.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """How much masks share, and how likely chance gives that; p is adjusted for all pairs (Holm).

    Example: interp ability overlap masks/located masks/random

    Without a language's neurons: interp ability overlap masks/neurons masks/lape --write difference
    --out masks/neurons-only
    """
    from interp.abilities.masks.mask import NeuronMask
    from interp.abilities.masks.mask_algebra import combine
    from interp.abilities.masks.overlap import adjusted
    from interp.abilities.masks.overlap import overlap as overlap_of

    if len(masks) < 2:
        raise BadInput("an overlap is of two masks or more: give another")
    if (write is None) != (out is None):
        raise BadInput("--write says what to combine and --out where it goes: give both or neither")
    if out is not None:
        check_out(out, replace=overwrite)
    loaded = [NeuronMask.load(path) for path in masks]
    pairs = list(combinations(range(len(masks)), 2))
    found = [overlap_of(loaded[i], loaded[j]) for i, j in pairs]
    named = [(str(masks[i]), str(masks[j])) for i, j in pairs]
    p_holm = adjusted(found)
    combined = None
    if write is not None and out is not None:
        combined = loaded[0]
        for other in loaded[1:]:
            combined = combine(combined, other, write.value)
        combined.save(out, overwrite=overwrite)
    if json:
        rows: list[dict[str, Any]] = [
            {"first_mask": a, "second_mask": b, **o.to_json(), "p_holm": exp(p),
             "can_succeed": o.stratified.can_succeed(len(pairs))}
            for (a, b), o, p in zip(named, found, p_holm, strict=True)
        ]  # fmt: skip
        written = None if combined is None else {"path": str(out), "count": combined.count}
        print_json({"pairs": rows, "written": written})
        return
    for (a, b), one, p in zip(named, found, p_holm, strict=True):
        say("\n".join(_lines(a, b, one, p_holm=p, tests=len(pairs))))
    if combined is not None:
        said = "" if combined.units is None else f"{combined.units.said()}, "
        say(f"{out}: {write} of {len(masks)} masks, {said}{combined.count:,} entries")


def _lines(first: str, second: str, found: "Overlap", *, p_holm: float, tests: int) -> list[str]:
    """One pair's overlap as text."""
    things = "entries" if found.of == "entry" else f"{found.of}s"
    test = found.stratified
    kept = {"entry": "tensor", "tensor": "type of tensor", "layer": "model"}.get(found.of, "layer")
    kind = "exact" if test.exact else "normal law"
    lines = [
        f"{first} and {second}: {found.shared:,} shared of {found.first:,} and {found.second:,} "
        f"{things} ({found.n:,} ranked by both)",
        f"  Jaccard {found.jaccard:.3f}, odds ratio {found.odds_ratio:.3g}",
        f"  by chance {test.expected:,.1f} ± {test.standard_deviation:,.1f} with the count of "
        f"every {kept} kept: p of more {p_text(test.log_p_more)}, "
        f"of less {p_text(test.log_p_less)} ({kind}); "
        f"Holm over {tests} {'pair' if tests == 1 else 'pairs'} {p_text(p_holm)}",
    ]
    if found.plain is not None:
        lines.append(
            f"  by chance {found.plain.expected:,.1f} with only the whole counts kept: "
            f"p of more {p_text(found.plain.log_p_more)}, of less {p_text(found.plain.log_p_less)}"
        )
    if not test.can_succeed(tests):
        lines.append(
            "  the test cannot succeed: the smallest p it could have given is "
            f"{p_text(test.log_min_p)}, above .05/{tests}"
        )
    return lines
