"""`interp modules experts`: which experts hold more of a function's best neurons than chance."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.modules.pairs import opened
from interp.cli.options import Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.modules.functional import FunctionalExperts


def experts(
    scores: Annotated[Path, typer.Argument(help="Finding of `interp neurons score`.")],
    partitions: Annotated[
        list[Path], typer.Argument(help="Finding of `interp modules partition`, one a layer.")
    ],
    out: Out,
    fraction: Annotated[
        float | None,
        typer.Option(
            "--fraction",
            help="Share of a layer's neurons that are a function's best; 0.01, under 1000 0.1.",
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option("--alpha", help="Level of the published rule, not corrected.")
    ] = 0.001,
    fdr: Annotated[
        float,
        typer.Option("--fdr", help="False discovery rate over functions, experts and layers."),
    ] = 0.05,
    draws: Annotated[
        int, typer.Option("--draws", help="Random partitions beside which the totals are held.")
    ] = 200,
    figures: Figures = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Test which experts hold more of each function's best neurons than random sets of their size.

    Example: interp modules experts scores partition --out experts
    """
    from interp.modules.functional import functional_experts

    check_alone("interp modules experts")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    found = functional_experts(
        *opened(scores, partitions),
        fraction=fraction,
        alpha=alpha,
        fdr=fdr,
        draws=draws,
        seed=seed,
        command=f"interp modules experts {scores} {' '.join(map(str, partitions))} --out {out}",
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        _draw(found, figures, overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        print(found)
        print(f"\nwritten to {out}")


def _draw(found: "FunctionalExperts", figures: Path, overwrite: bool) -> None:
    from interp.plots.modules import experts_by_function

    drawn = {f"experts_{i}": experts_by_function(found, layer=i) for i in range(len(found.layers))}
    write_figures(drawn, figures, overwrite=overwrite)
