"""`interp ability reward`: which tokens of rejected answers are to blame."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from interp.cli.options import Device, Json, Out, Overwrite, print_json, say


class Rule(StrEnum):
    """unaligned: 1 where p < 0.5. soft: 1 - p. released: p, as ALLO's code stores it."""

    unaligned = "unaligned"
    soft = "soft"
    released = "released"


def reward(
    rewriter: Annotated[str, typer.Argument(help="Model directory of `interp ability rewriter`.")],
    pairs: Annotated[Path, typer.Argument(help="jsonl with prompt, chosen and rejected.")],
    out: Out,
    rule: Annotated[
        Rule, typer.Option("--rule", help="From p, that a correction keeps the token, to weights.")
    ] = Rule.unaligned,
    template: Annotated[
        str | None, typer.Option("--template", help="What the model reads, if not as trained.")
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write preference pairs with a weight for every token of the rejected answers.

    The file is what `interp ability align` and `reinforce` take. Where the pairs have a column
    `wrong` (true or false a token), precision and recall against it are printed.

    Example: interp ability reward models/rewriter pairs.jsonl --out weighted.jsonl
    """
    from interp.abilities.allo.rewarded import reward as write_rewards

    made = write_rewards(
        rewriter,
        pairs,
        out,
        rule=rule.value,
        template=template,
        device=device,
        overwrite=overwrite,
    )
    if json:
        print_json(made.to_json())
        return
    say(f"{out}: {made.n_pairs:,} pairs, mean weight {made.weighted:.3f} of {made.n_tokens:,}")
    if made.agreement is not None:
        a = made.agreement
        say(
            f"against the known wrong tokens: precision {a.precision:.3f} (chance "
            f"{a.base_rate:.3f}), recall {a.recall:.3f} (chance {a.weighted:.3f})"
        )
