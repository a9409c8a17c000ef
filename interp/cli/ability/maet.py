"""`interp ability maet`: the whole method in one command, with its sweep and its ablations."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interp.cli.ability.options import Base, Batch, PresetName, PresetOption, Rate, Steps, Warmup
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.results.errors import BadInput


def maet(
    base: Base,
    ability: Annotated[Path, typer.Argument(help="Training jsonl of the ability, one language.")],
    general: Annotated[Path, typer.Argument(help="General training jsonl of that language.")],
    out: Out,
    language: Annotated[
        list[str] | None,
        typer.Option("--language", help="The base adapted to a language; may be repeated."),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="k1, of the entries; the preset's if left out.")
    ] = None,
    locator: Annotated[str, typer.Option("--locator", help="How entries are scored.")] = "change",
    level: Annotated[
        str, typer.Option("--level", help="What is ranked: entry, neuron, head, layer, tensor.")
    ] = "entry",
    train_all: Annotated[
        bool, typer.Option("--train-all", help="Train all entries, cut the mask out afterwards.")
    ] = False,
    alpha: Annotated[float, typer.Option("--alpha", help="Of ability - base.")] = 1.0,
    beta: Annotated[
        float | None, typer.Option("--beta", help="Of control - base; the preset's if left out.")
    ] = None,
    gamma: Annotated[float, typer.Option("--gamma", help="Of the ability's weights.")] = 1.0,
    mu: Annotated[
        list[float] | None, typer.Option("--mu", help="Of every language, in order; 1 each.")
    ] = None,
    eta: Annotated[float, typer.Option("--eta", help="Of the language weights.")] = 1.0,
    eta_rest: Annotated[
        float | None, typer.Option("--eta-rest", help="The same where no ability is added.")
    ] = None,
    k2: Annotated[
        float | None, typer.Option("--k2", help="Share of tensors; the preset's if left out.")
    ] = None,
    select: Annotated[
        str, typer.Option("--select", help="least, most, random (same types) or none.")
    ] = "least",
    preset: PresetOption = PresetName.maet,
    items: Annotated[
        list[Path] | None,
        typer.Option("--items", help="jsonl of questions, splits validation and test."),
    ] = None,
    targets: Annotated[
        str | None, typer.Option("--targets", help="Languages to gain it in, with commas.")
    ] = None,
    task: Annotated[
        str, typer.Option("--task", help="The task of the items that is the ability.")
    ] = "ability",
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Choose beta, k2, gamma and eta on validation items.")
    ] = False,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="The table of every part left out or inverted.")
    ] = False,
    n_settings: Annotated[
        int, typer.Option("--settings", help="Settings that every method is tried at.")
    ] = 160,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="General accuracy that a choice may cost.")
    ] = 0.03,
    steps: Steps = 400,
    lr: Rate = 1e-3,
    batch_size: Batch = 128,
    warmup: Warmup = 30,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Move an ability learnt in one language into another: locate, train, extract, transfer.

    OUT holds mask, ability, control, weights and model, each a directory; called again, only what
    depends on changed settings is made anew.

    Example: interp ability maet polyglot ability.jsonl general.jsonl --language polyglot/language
    --share 0.2 --items validation.jsonl --items test.jsonl --targets D,E --sweep --out moved
    """
    from interp.abilities.maet import MaetRecipe
    from interp.abilities.maet import maet as run
    from interp.abilities.moving.recipe import PRESETS
    from interp.abilities.training.masked_training import TrainingRecipe

    defaults = PRESETS[preset.value]
    recipe = MaetRecipe(
        share=defaults.k1 if share is None else share,
        locator=locator,
        level=level,
        train_all=train_all,
        training=TrainingRecipe(steps=steps, lr=lr, batch_size=batch_size, warmup=warmup),
        alpha=alpha,
        beta=defaults.beta if beta is None else beta,
        gamma=gamma,
        mu=tuple(mu or ()),
        eta=eta,
        eta_rest=eta_rest,
        k2=defaults.k2 if k2 is None else k2,
        select=_selection(select),
        seed=seed,
    )
    table = None
    if sweep or ablations:
        table = _tabled(
            out, base, ability, general, language=language, recipe=recipe, device=device,
            items=items, targets=targets, task=task, n_settings=n_settings, tolerance=tolerance,
            ablations=ablations, overwrite=overwrite,
        )  # fmt: skip
        if sweep:
            recipe = _chosen(recipe, table)
    parts = run(base, ability, general, out, languages=language or (), recipe=recipe, device=device)
    said: dict[str, Any] = {"parts": parts.to_json()}
    if json:
        print_json(said | ({} if table is None else {"comparison": table.to_json()}))
        return
    if table is not None:
        print(table.text_table())
    print(f"{parts.model}: the merged model; mask, weights and trained models beside it")


def _selection(text: str) -> Any:
    known = ("least", "most", "random", "none")
    if text not in known:
        raise BadInput(f"--select {text!r}: expected one of {', '.join(known)}")
    return text


def _tabled(
    out: Path, base: str, ability: Path, general: Path, *, language: list[str] | None,
    items: list[Path] | None, targets: str | None, task: str, n_settings: int, tolerance: float,
    ablations: bool, overwrite: bool, recipe: Any, device: str,
) -> Any:  # fmt: skip
    """The table of the sweep, or of all ablations, saved beside the parts."""
    from interp.abilities.comparing.ablation_table import TUNED, ablation_table, gather_materials
    from interp.results.atomic import check_out

    if not items or not targets or not language or len(language) != 1:
        raise BadInput(
            "--sweep and --ablations choose on questions: give --items with splits validation and "
            "test, --targets and one --language"
        )
    fixed = {"alpha": (1.0,), "mu": ((), (1.0,)), "eta_rest": (None,), "select": ("least",)}
    for name, known in fixed.items():
        if getattr(recipe, name) not in known:
            raise BadInput(
                f"--sweep and --ablations do not try --{name.replace('_', '-')}: leave it out, or "
                "make the model without them"
            )
    check_out(out / "comparison", replace=overwrite)
    trial, materials = gather_materials(
        out, base, ability, general, language=language[0], recipe=recipe, device=device
    )
    table = ablation_table(
        trial,
        materials,
        items,
        ability_task=task,
        targets=[target.strip() for target in targets.split(",")],
        n_settings=n_settings,
        tolerance=tolerance,
        only=None if ablations else TUNED,
        seed=recipe.seed,
    )
    table.save(out / "comparison", overwrite=overwrite)
    return table


def _chosen(recipe: Any, table: Any) -> Any:
    """The recipe with the settings that the whole method won with on validation."""
    from dataclasses import replace

    setting = next(row.setting for row in table.rows if row.key == "maet")
    return replace(recipe, **{name: setting[name] for name in ("beta", "k2", "gamma", "eta")})
