"""`interp probe`: what a linear map can read off the sites of a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.options import Json, Out, Overwrite, Seed, print_json
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from probes.linear import ProbeResult

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Pool = Literal["token", "mean", "max", "last"]


@app.callback()
def probe() -> None:
    """Linear probes of a label, with a control task and selectivity."""


@app.command("fit")
def fit(
    store: Annotated[Path, typer.Argument(help="Store with a label column.")],
    sites: Annotated[
        list[str], typer.Option("--site", help="Site, or a pattern of sites; may be repeated.")
    ],
    label: Annotated[str, typer.Option("--label", help="Label column to read off.")],
    out: Out,
    pool: Annotated[
        Pool, typer.Option("--pool", help="token: every token is a row; else documents are.")
    ] = "token",
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="COLUMN=VALUE: only such rows; may be repeated."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Column that says train and test; drawn by the seed."),
    ] = None,
    group: Annotated[
        str, typer.Option("--group", help="Column whose equal values stay on one side.")
    ] = "document",
    max_rows: Annotated[
        int, typer.Option("--max-rows", help="Rows to train, validate and test on, at most.")
    ] = 50_000,
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Fit the control task beside it.")
    ] = True,
    codelength: Annotated[
        bool, typer.Option("--codelength/--no-codelength", help="Compute the online code length.")
    ] = True,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="Store of the same corpus from random weights."),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fit a linear probe of a label at every site, beside what proves nothing.

    Documents are dealt to training, validation and test before anything is read. Beside the
    accuracy stand the most frequent class, the same probe on a random label for every word type
    (control; the difference is selectivity) and, with --baseline, on random weights. The weights
    are saved in the units of the site.

    Example: interp probe fit store --site 'blocks.*.hook_resid_post' --label upos --out probe
    """
    from interp.capture.store import ActivationStore
    from probes.linear import fit_probes

    check_alone("interp probe fit")
    check_out(out, replace=overwrite)
    words = [f"--site '{site}'" for site in sites] + [f"--where '{one}'" for one in where or []]
    with ActivationStore.open(store) as rows:
        found = fit_probes(
            rows,
            sites=sites,
            label=label,
            pool=pool,
            where=dict(_pair(one) for one in where or []),
            split=split,
            group=group,
            max_rows=max_rows,
            control=control,
            codelength=codelength,
            baseline=None if baseline is None else ActivationStore.open(baseline),
            seed=seed,
            command=f"interp probe fit {store} {' '.join(words)} --label {label} --out {out}",
        )
    found.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        _show(found)
        print(f"\nwritten to {out}")


def _pair(where: str) -> tuple[str, str]:
    column, equals, value = where.partition("=")
    if not equals or not column:
        raise BadInput(f"--where {where}: give COLUMN=VALUE, like --where subfunction=bank")
    return column, value


def _show(found: "ProbeResult") -> None:
    show_table(*found.table())
    print("", *found.notes(), sep="\n")
