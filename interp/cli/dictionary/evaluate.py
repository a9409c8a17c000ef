"""`interp dictionary evaluate`: what a dictionary keeps of its site, beside its baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.dictionaries.evaluation.evaluation import DictionaryEvaluation

_BASELINES = "pca,random,neurons,randomised_model"


def evaluate(
    dictionary: Annotated[
        str, typer.Argument(help="Dictionary: bundled name, sae-lens directory, release or hub id.")
    ],
    store: Annotated[
        Path, typer.Option("--store", help="Store that holds the dictionary's site or sites.")
    ],
    out: Out,
    sae_id: Annotated[
        str | None, typer.Option("--sae-id", help="Which of a release's dictionaries.")
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="Site to read; the dictionary's own.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model captured: adds the loss recovered.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Text for the model, as for `interp capture`.")
    ] = None,
    length: Annotated[
        int | None, typer.Option("--length", help="Tokens of a row of the text; the store's.")
    ] = None,
    packing: Annotated[
        str, typer.Option("--packing", help="pack, or document: each begins a row of its own.")
    ] = "pack",
    last: Annotated[
        bool,
        typer.Option("--last", help="Count the loss of each row's last token only: of answers."),
    ] = False,
    tokens: Annotated[
        int, typer.Option("--tokens", help="Rows of the store to evaluate, at most.")
    ] = 100_000,
    spliced_tokens: Annotated[
        int, typer.Option("--spliced-tokens", help="Tokens of the text to run the model on.")
    ] = 10_000,
    baselines: Annotated[
        str, typer.Option("--baselines", help="Of these, with commas; `none` for none.")
    ] = _BASELINES,
    other: Annotated[
        list[str] | None,
        typer.Option("--other", help="Another seed's dictionary: features in common. Repeatable."),
    ] = None,
    specials: Annotated[
        bool, typer.Option("--specials", help="Evaluate and replace BOS and the like too.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Allow another model or site than the dictionary's.")
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure a dictionary on a store, and in a model, beside baselines that are as sparse.

    Example: interp dictionary evaluate polyglot/blocks.2.hook_mlp_out --store store --out eval
    """
    from interp.capture.store import ActivationStore
    from interp.dictionaries.evaluation.run import evaluate_dictionary
    from interp.dictionaries.files import open_dictionary

    check_out(out, replace=overwrite)
    _check_text(text, model, packing)
    rows = ActivationStore.open(store)
    found = evaluate_dictionary(
        open_dictionary(dictionary, sae_id=sae_id, device=device),
        rows,
        site=site,
        model=None if model is None else _model(model, device),
        corpus=_corpus(text, model, length or rows.header.length, packing),
        n_tokens=tokens,
        n_spliced=spliced_tokens,
        predicted="last" if last else "all",
        baselines=[] if baselines == "none" else baselines.split(","),
        others={name: open_dictionary(name, device=device) for name in other or []},
        specials=specials,
        seed=seed,
        force=force,
        command=f"interp dictionary evaluate {dictionary} --store {store} --out {out}",
    )
    found.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        _show(found)
        print(f"\nwritten to {out}")


def _check_text(text: str | None, model: str | None, packing: str) -> None:
    if packing not in ("pack", "document"):
        raise BadInput(f"--packing {packing}: pack or document")
    if model is None and text is not None:
        raise BadInput("--text needs --model: give the model that was captured, to run on the text")
    if text is None and model is not None:
        raise BadInput("--model needs --text: give a text to run the model on")


def _model(model: str, device: str) -> Any:
    from interp.models.load import load

    return load(model, device=device)


def _corpus(text: str | None, model: str | None, length: int, packing: str) -> Any:
    from interp.corpus.sources import open_corpus

    if text is None:
        return None
    how = "document" if packing == "document" else "pack"
    return open_corpus(text, model, length=length, packing=how)


def _show(found: "DictionaryEvaluation") -> None:
    show_table(*found.table())
    print("", *found.notes(), sep="\n")
