"""`interp modules perturb`: whether modules do what they are named for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.modules.pairs import opened
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.atomic import check_out
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.modules.perturbation import PerturbationResult


def perturb(
    model: Annotated[str, typer.Argument(help="Hub id, directory or bundled name.")],
    scores: Annotated[Path, typer.Argument(help="Finding of `interp neurons score`.")],
    partitions: Annotated[
        list[Path], typer.Argument(help="Finding of `interp modules partition`, one a layer.")
    ],
    items: Annotated[
        Path,
        typer.Option(
            "--items",
            help="jsonl with function, and tokens or text, and answer_start or answer; split is "
            "validation or test.",
        ),
    ],
    out: Out,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="mean, zero, gaussian, gaussian-raw, shuffle or resample the neurons."
        ),
    ] = "mean",
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            help="Of gaussian: in SDs of each neuron, 1; raw: in activation, 0.1; of shuffle: "
            "factor, 1 (published 4).",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Choose whole experts, or as many single neurons.")
    ] = "experts",
    experts: Annotated[
        int, typer.Option("--experts", help="Experts of each layer that a function is given.")
    ] = 2,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Store of the scores: none of it may be a test sequence."),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", help="Random draws of each control.")] = 20,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Items of a forward pass.")] = 256,
    force: Annotated[
        bool, typer.Option("--force", help="Allow scores and partitions of another model.")
    ] = False,
    figures: Figures = None,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Disturb the neurons of each function, and show what every function loses, beside chance.

    Example: interp modules perturb gpt2 scores partition --items items.jsonl --out perturbed
    """
    from interp.capture.store import ActivationStore
    from interp.models.load import load
    from interp.modules.perturbation import perturb as run
    from interp.modules.perturbation import read_function_items

    check_alone("interp modules perturb")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    bridge = load(model, device=device)
    found = run(
        bridge,
        *opened(scores, partitions),
        read_function_items(items, bridge.tokenizer),
        mode=mode,
        scale=scale,
        by=cast(Literal["experts", "neurons"], by),
        n_experts=experts,
        draws=draws,
        batch_size=batch_size,
        seed=seed,
        store=None if store is None else ActivationStore.open(store),
        force=force,
        command=f"interp modules perturb {model} {scores} {' '.join(map(str, partitions))} "
        f"--items {items} --mode {mode} --out {out}",
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        _draw(found, figures, overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        print(found)
        print(f"\nwritten to {out}")


def _draw(found: "PerturbationResult", figures: Path, overwrite: bool) -> None:
    from interp.plots.modules import drop_matrix, own_against_random

    drawn = {"drops": drop_matrix(found), "own_against_random": own_against_random(found)}
    write_figures(drawn, figures, overwrite=overwrite)
