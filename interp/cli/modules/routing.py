"""`interp modules routing`: how well experts can be chosen, and what a MoEfied layer loses."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.modules.routing.report import RoutingReport
    from interp.results.intervals import Interval

_FIELDS = {"--measure": ("auto", "mass", "norm"), "--fill": ("zero", "mean")}


def routing(
    model: Annotated[
        str, typer.Argument(help="Hub id, directory or bundled name; NAME@STEP for a checkpoint.")
    ],
    partitions: Annotated[
        list[Path], typer.Argument(help="What `interp modules partition` wrote, one a layer.")
    ],
    out: Out,
    items: Annotated[
        Path | None,
        typer.Option("--items", help="jsonl of items with answers, as `interp modules perturb`."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Or a plain text, as for `interp capture`: loss only."),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length", help="Tokens of a row of the text; 64, or the context if shorter."
        ),
    ] = None,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens of the text to read.")
    ] = 40_000,
    router: Annotated[
        list[str] | None,
        typer.Option(
            "--router", help="oracle, similarity, average, learnt, chance; repeatable; all."
        ),
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option("--k", help="Experts chosen for the loss; repeatable; .1, .2 and .4 of them."),
    ] = None,
    measure: Annotated[
        str,
        typer.Option("--measure", help="An expert's contribution: auto, mass (ReLU) or norm."),
    ] = "auto",
    fill: Annotated[
        str, typer.Option("--fill", help="What neurons left out hand on: zero or mean.")
    ] = "zero",
    draws: Annotated[int, typer.Option("--draws", help="Random partitions to compare with.")] = 5,
    force: Annotated[
        bool, typer.Option("--force", help="Allow a partition of another model.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    figures: Figures = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compare routers on a partition's experts, beside chance and random experts.

    Routers learn from one half of the data and are measured on the other: the share of the
    experts' contribution that they capture at every k, and the change of loss and accuracy when
    all given layers compute with the chosen experts alone.

    Example: interp modules routing functions/planted experts --items items.jsonl --out routing
    """
    from interp.models.load import load
    from interp.modules.partition import Partition
    from interp.modules.routing.run import measure_routing
    from interp.modules.routing.settings import ROUTERS, RoutingSettings

    check_alone("interp modules routing")
    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    _check(items, text, {"--measure": measure, "--fill": fill})
    loaded = [Partition.load(path) for path in partitions]
    bridge = load(model, device=device)
    found = measure_routing(
        bridge,
        loaded,
        _items(bridge, model, items, text, (length, packing, max_tokens)),
        settings=RoutingSettings(
            routers=tuple(router or ROUTERS),
            effect_ks=tuple(k or ()),
            measure=measure,  # pyright: ignore[reportArgumentType]
            fill=fill,  # pyright: ignore[reportArgumentType]
            n_random=draws,
            seed=seed,
        ),
        force=force,
        command=f"interp modules routing {model} {' '.join(map(str, partitions))}",
    )
    found.save(out, overwrite=overwrite)
    if figures is not None:
        from interp.plots.partitions import router_curves

        write_figures({"routers": router_curves(found)}, figures, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        say(routing_text(found))
        say(f"written to {out}")


def _check(items: Path | None, text: str | None, given: dict[str, str]) -> None:
    if (items is None) == (text is None):
        raise BadInput("--items or --text: routers need one, to learn and to be measured on")
    for option, value in given.items():
        if value not in _FIELDS[option]:
            raise BadInput(f"{option} {value}: one of {', '.join(_FIELDS[option])}")


def _items(
    bridge: Any, model: str, items: Path | None, text: str | None, how: tuple[int | None, str, int]
) -> Any:
    from interp.corpus.sources import open_corpus
    from interp.models.context import length_within, refuse_beyond_context
    from interp.modules.perturbation.items import read_function_items
    from interp.modules.routing.reading import text_items

    if items is not None:
        return read_function_items(items, bridge.tokenizer)
    length, packing, max_tokens = how
    length = length_within(bridge, length, default=64)
    corpus = open_corpus(text, model, length=length, packing=packing)  # pyright: ignore[reportArgumentType]
    refuse_beyond_context(bridge, corpus.length)
    return text_items(corpus, max_tokens=max_tokens)


def routing_text(found: "RoutingReport") -> str:
    """What a person reads: captured shares, then losses, own experts beside random ones."""
    lines = [
        f"{found.n_experts} experts; measured on {found.n_items:,} items, {found.n_tokens:,} "
        f"tokens; routers learnt from {found.n_fit_tokens:,} others"
    ]
    ks = found.effect_ks.tolist()
    shown = [k for k in ks if k in found.ks.tolist()]
    for site, kind, measure in zip(found.sites, found.kinds, found.measures, strict=True):
        lines += ["", f"{site} ({kind}): share of {measure} captured"]
        lines.append(_row("", [f"k = {k}" for k in shown]))
        for part, router in found.contestants:
            cells = [_cell(found.captured(site, part, router, k)) for k in shown]
            lines.append(_row(f"{router} on {part} experts", cells))
        lines.append(
            _row("a random choice holds k/E", [f"{k / found.n_experts:.3f}" for k in shown])
        )
    loss, accuracy = found.dense.tolist()
    lines += ["", f"change of loss when all layers are MoEfied (dense {loss:.3f} nats)"]
    lines += _effects(found, "loss", ks)
    if accuracy == accuracy:
        lines += ["", f"change of accuracy (dense {accuracy:.3f})"]
        lines += _effects(found, "accuracy", ks)
    lines += ["", f"Random experts: mean of {found.n_random} draws, in brackets the least and "
              "largest of them; own experts: 95% bootstrap over items."]  # fmt: skip
    return "\n".join(lines)


def _effects(found: "RoutingReport", of: str, ks: list[int]) -> list[str]:
    lines = [_row("", [f"k = {k}" for k in ks])]
    for part, router in found.contestants:
        cells = [_cell(found.effect(part, router, k, of=of), "+.3f") for k in ks]
        lines.append(_row(f"{router} on {part} experts", cells))
    return lines


def _row(name: str, cells: list[str]) -> str:
    return f"  {name:30}" + "".join(f"{cell:>26}" for cell in cells)


def _cell(interval: "Interval", form: str = ".3f") -> str:
    value, low, high = interval
    return f"{value:{form}} [{low:{form}}, {high:{form}}]" if low == low else f"{value:{form}}"
