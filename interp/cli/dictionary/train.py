"""`interp dictionary train`: sparse dictionaries from a store, or live from a model and a text."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Json, Out, Overwrite, Seed, print_json

if TYPE_CHECKING:
    from interp.dictionaries.training.live import LiveSource
    from interp.dictionaries.training.plan import TrainingPlan


def train(
    sites: Annotated[
        list[str], typer.Option("--site", help="Hook name with wildcards; list or repeat.")
    ],
    d_sae: Annotated[list[str], typer.Option("--d-sae", help="Features; list or repeat.")],
    n_tokens: Annotated[int, typer.Option("--tokens", help="Rows to train on.")],
    out: Out,
    store: Annotated[Path | None, typer.Argument(help="An activation store.")] = None,
    arch: Annotated[
        str, typer.Option("--arch", help="As sae-lens names it; transcoder, skip_transcoder.")
    ] = "batchtopk",
    k: Annotated[
        list[str] | None, typer.Option("--k", help="Active features a row; list or repeat.")
    ] = None,
    sites_out: Annotated[
        list[str] | None, typer.Option("--site-out", help="What a transcoder reconstructs.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", help="NAME=VALUE of the sae-lens config; a comma list sweeps."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Without a store: run this model.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="The corpus of --model.")] = None,
    length: Annotated[int, typer.Option("--length", help="Positions of its sequences.")] = 128,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Rows of a step, over all ranks.")
    ] = 4096,
    lr: Annotated[float, typer.Option("--lr", help="Learning rate of Adam.")] = 3e-4,
    lr_schedule: Annotated[
        str, typer.Option("--lr-schedule", help="constant, cosineannealing, or with restarts.")
    ] = "constant",
    lr_warm_up: Annotated[int, typer.Option("--lr-warm-up", help="Steps up to the rate.")] = 0,
    lr_decay: Annotated[int, typer.Option("--lr-decay", help="Steps down to 0 at the end.")] = 0,
    normalize: Annotated[
        str, typer.Option("--normalize", help="As sae-lens: none, expected_average_only_in, ...")
    ] = "none",
    b_dec: Annotated[
        str | None, typer.Option("--b-dec", help="Starts at zero, or at the data's mean.")
    ] = None,
    dead_feature_window: Annotated[
        int, typer.Option("--dead-feature-window", help="Steps without firing until dead.")
    ] = 1000,
    seed: Seed = 0,
    log_every: Annotated[int, typer.Option("--log-every", help="Steps between log lines.")] = 50,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", help="Steps between checkpoints.")
    ] = 500,
    log_to: Annotated[str | None, typer.Option("--log-to", help="wandb or tensorboard.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1.")] = "cpu",
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, and write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train dictionaries on the rows of a store, every combination of sites, widths and k.

    The same command goes on with a run that was interrupted or killed, and ends with the same
    bytes. Exit codes: 0 done, 2 wrong use or another recipe's directory, 130 interrupted.

    Example: interp dictionary train store --site blocks.2.hook_resid_post --d-sae 2048 --k 16
    --tokens 2000000 --out dictionary

    On two processes: torchrun --nproc-per-node 2 -m interp.cli.app dictionary train ...
    """
    from interp.capture.distributed import current_ranks
    from interp.dictionaries.training.plan import plan_training, training_settings
    from interp.dictionaries.training.settling import unsettled
    from interp.dictionaries.training.train import execute

    settings = training_settings(
        arch=arch,
        n_tokens=n_tokens,
        batch_size=batch_size,
        lr=lr,
        lr_schedule=lr_schedule,
        lr_warm_up_steps=lr_warm_up,
        lr_decay_steps=lr_decay,
        normalize=normalize,
        b_dec=b_dec,
        dead_feature_window=dead_feature_window,
        seed=seed,
        log_every=log_every,
    )
    names = _words(sites), _words(sites_out)
    plan = plan_training(
        _rows(store, model, text, n_tokens=n_tokens, names=[*names[0], *names[1]], length=length,
              seed=seed, device=device),
        site=names[0],
        site_out=names[1],
        d_sae=[_number("--d-sae", word, int) for word in _words(d_sae)],
        k=[_number("--k", word, float) for word in _words(k)],
        settings=settings,
        arch=arch,
        options=_options(options or []),
    )  # fmt: skip
    if dry_run:
        _show_plan(plan, json)
        return
    paths = execute(
        plan,
        out,
        checkpoint_every=checkpoint_every,
        log_to=log_to,
        device=device,
        overwrite=overwrite,
        command=_command(
            store or model,
            ("--arch", [arch]),
            ("--site", names[0]),
            ("--site-out", names[1]),
            ("--d-sae", _words(d_sae)),
            ("--k", _words(k)),
            ("--option", options or []),
            ("--tokens", [n_tokens]),
            ("--seed", [seed]),
        ),
    )
    if current_ranks().rank == 0:
        _show(paths, json, store=store, note=unsettled(plan.recipes))


def _rows(store: Path | None, model: str | None, text: str | None, **live: Any) -> Any:
    from interp.results.errors import BadInput

    if store is not None and model is None and text is None:
        return store
    if store is None and model is not None and text is not None:
        return _live(model, text, **live)
    raise BadInput("give the rows once: a store, or --model and --text")


def _live(
    model: str, text: str, *, n_tokens: int, names: list[str], length: int, seed: int, device: str
) -> "LiveSource":
    from interp.corpus.sources import open_corpus
    from interp.dictionaries.training.live import live_source
    from interp.models.load import load, reference_of

    bridge = load(model, device=device)
    corpus = open_corpus(text, reference_of(bridge), length=length, seed=seed)
    return live_source(bridge, corpus, names, n_tokens=n_tokens, seed=seed)


def _words(values: list[str] | None) -> list[str]:
    """Repeated options and comma lists, as one list."""
    return [word for value in values or [] for word in value.split(",") if word]


def _number(option: str, word: str, kind: type) -> Any:
    from interp.results.errors import BadInput

    try:
        return kind(word)
    except ValueError as error:
        raise BadInput(f"{option} {word!r} is no number: give {kind.__name__}s") from error


def _options(given: list[str]) -> dict[str, Any]:
    from interp.results.errors import BadInput

    found: dict[str, Any] = {}
    for option in given:
        name, is_there, value = option.partition("=")
        if not is_there:
            raise BadInput(f"--option {option!r}: write NAME=VALUE")
        words = [_value(word) for word in value.split(",")]
        found[name] = words if len(words) > 1 else words[0]
    return found


def _value(word: str) -> Any:
    import json

    try:
        return json.loads(word)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(word, word)


def _command(rows: Path | str | None, *given: tuple[str, list[Any]]) -> str:
    """The call without what decides nothing; the recipe beside the dictionary has every setting."""
    words = [f"{option} {value}" for option, values in given for value in values]
    return " ".join(["interp dictionary train", str(rows), *words])


def _show_plan(plan: "TrainingPlan", json: bool) -> None:
    from interp.dictionaries.training.train import forecast

    if json:
        print_json(plan.summary())
        return
    print(forecast(plan))
    for recipe in plan.recipes:
        print(f"  {recipe.name}: {recipe.d_in} to {recipe.d_sae} to {recipe.d_out}")


def _show(paths: list[Path], json: bool, *, store: Path | None, note: str | None) -> None:
    from interp.dictionaries.training.log import last_line

    found = [{"path": str(path), **last_line(path)} for path in paths]
    if json:
        print_json({"dictionaries": found})
        return
    for said in found:
        saved = f" ({said['l0_saved']:.1f} as saved)" if "l0_saved" in said else ""
        print(
            f"{said['path']}: l0 {said['l0']:.1f}{saved}, explained variance "
            f"{said['explained_variance'] or float('nan'):.3f}, {said['n_dead']} dead"
        )
    if note is not None:
        print(note)
    print(f"next: {_evaluation(paths[0], store)}")


def _evaluation(dictionary: Path, store: Path | None) -> str:
    """The command that evaluates it; trained live, a store is still to be recorded."""
    place = "STORE" if store is None else quote(str(store))
    out = quote(str(dictionary / "evaluation"))
    return f"interp dictionary evaluate {quote(str(dictionary))} --store {place} --out {out}"
