"""`interp ability inspect`: what a mask, weights or a transferred model hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, print_json, say

if TYPE_CHECKING:
    from interp.abilities.inspection import Count


def inspect(
    path: Annotated[Path, typer.Argument(help="A mask, ability weights or a transferred model.")],
    json: Json = False,
) -> None:
    """Show what a mask, ability weights or a transferred model hold, after checking their hashes.

    Example: interp ability inspect weights
    """
    from interp.abilities.inspection import Summary, inspect_finding

    found = inspect_finding(path)
    if not isinstance(found, Summary):
        content = {"kind": "model", "root": found.root, "ancestors": list(found.ancestors)}
        shown: dict[str, Any] = content | {"recipe": found.recipe}
        if json:
            print_json(shown)
        else:
            say("\n".join(f"{key}: {value}" for key, value in shown.items()))
        return
    if json:
        print_json(found.to_json())
        return
    say(f"{found.kind} of {found.base.root[:12]}: {_count_text(found.total)}")
    if found.units is not None:
        units = found.units
        say(f"{units['count']:,} of {units['n']:,} units of kind {units['kind']}")
        for name, (chosen, of) in units["by_layer"].items():
            say(f"  {name}: {chosen:,} of {of:,}")
    for title, groups in (("tensor", found.by_type), ("layer", found.by_layer)):
        width = max([len(name) for name in groups], default=0)
        say(f"by {title}")
        for name, count in groups.items():
            say(f"  {name:<{width}}  {_count_text(count)}")


def _count_text(count: "Count") -> str:
    norm = "" if count.norm is None else f", norm {count.norm:.4g}"
    return f"{count.count:,} of {count.entries:,} ({count.share:.4f}){norm}"
