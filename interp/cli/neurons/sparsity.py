"""`interp neurons sparsity`: how many neurons each layer uses, beside chance and no training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from interp.capture.store import ActivationStore
    from interp.corpus.corpus import Corpus
    from interp.neurons.sparsity import SparsityStats

_STORE = "store.json"


def sparsity(
    source: Annotated[
        str, typer.Argument(help="A model (hub id, directory, bundled name), or a store.")
    ],
    out: Out,
    text: Annotated[
        str | None, typer.Option("--text", help="Text for a model, as for `interp capture`.")
    ] = None,
    sites: Annotated[
        list[str] | None,
        typer.Option("--site", help="Sites of neurons; every mlp.hook_post. May be repeated."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule", help="relu, abs:EPSILON, relmax:C, topk:K, cett:THETA; as the model needs."
        ),
    ] = None,
    perplexity_rise: Annotated[
        float | None,
        typer.Option("--perplexity-rise", help="Find cett's theta: 0.01 lets it rise by 1%."),
    ] = None,
    perplexity_tokens: Annotated[
        int, typer.Option("--perplexity-tokens", help="Tokens to measure perplexity on; 0: not.")
    ] = 0,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens to read, in whole sequences.")
    ] = 20_000,
    length: Annotated[
        int | None,
        typer.Option("--length", help="Positions of one sequence; 128, or the context if shorter."),
    ] = None,
    packing: Annotated[
        Literal["pack", "document"],
        typer.Option("--packing", help="Documents end to end, or one in a row."),
    ] = "document",
    model: Annotated[
        str | None, typer.Option("--model", help="A store's model: says what neurons write.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", help="A store's: one of the same text in another model."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights/--no-random-weights", help="A model also untrained."),
    ] = True,
    figures: Figures = None,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Measure how sparsely the neurons of each layer fire, with intervals and baselines.

    On two processes: torchrun --nproc-per-node 2 -m interp.cli.app neurons sparsity ...

    Example: interp neurons sparsity polyglot --text text.txt --out sparsity
    """
    from interp.capture.distributed import current_ranks
    from interp.neurons.sparsity import ActivityRule, model_sparsity, store_sparsity

    check_out(out, replace=overwrite)
    check_figures(figures, out=out, overwrite=overwrite)
    asked = None if rule is None else ActivityRule.parse(rule)
    command = f"interp neurons sparsity {source} --out {out}"
    if (Path(source) / _STORE).is_file():
        if text is not None or perplexity_rise is not None or perplexity_tokens:
            raise BadInput(
                "a store has its text and no losses: leave out --text, --perplexity-rise and "
                "--perplexity-tokens, or name the model instead of the store"
            )
        found = store_sparsity(
            _opened(source),
            sites=sites or [],
            rule=asked,
            model=model,
            baseline=None if baseline is None else _opened(baseline),
            max_tokens=max_tokens,
            seed=seed,
            command=command,
        )
    else:
        if text is None or model is not None or baseline is not None:
            raise BadInput("a model needs --text and takes no --model or --baseline store")
        if perplexity_rise is not None and asked is not None:
            raise BadInput("--perplexity-rise finds the rule itself: leave --rule out")
        bridge, corpus = _loaded(source, text, length, packing=packing, device=device)
        found = model_sparsity(
            bridge,
            corpus,
            sites=sites or [],
            rule=asked,
            perplexity_rise_of=perplexity_rise,
            perplexity_tokens=perplexity_tokens,
            max_tokens=max_tokens,
            random_weights=random_weights,
            seed=seed,
            command=command,
        )
    current_ranks().first_only(lambda: _write(found, out, figures, overwrite, json))


def _opened(store: Path | str) -> "ActivationStore":
    from interp.capture.store import ActivationStore

    return ActivationStore.open(store)


def _loaded(
    model: str, text: str, length: int | None, *, packing: Literal["pack", "document"], device: str
) -> "tuple[TransformerBridge, Corpus]":
    from interp.corpus.sources import open_corpus
    from interp.models.context import length_within
    from interp.models.load import load, reference_of

    bridge = load(model, device=device)
    length = length_within(bridge, length)
    return bridge, open_corpus(text, reference_of(bridge), length=length, packing=packing)


def _write(
    found: "SparsityStats", out: Path, figures: Path | None, overwrite: bool, json: bool
) -> None:
    found.save(out, overwrite=overwrite)
    if figures is not None:
        _draw(found, figures, overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        _show(found)
        say(f"\nwritten to {out}")


def _draw(found: "SparsityStats", figures: Path, overwrite: bool) -> None:
    from interp.plots.sparsity import norm_share_curves, rate_histogram, sparsity_by_layer

    drawn = {"by_layer": sparsity_by_layer(found), "norm_shares": norm_share_curves(found)}
    drawn |= {f"rates_{i}": rate_histogram(found, site) for i, site in enumerate(found.sites)}
    write_figures(drawn, figures, overwrite=overwrite)


def _show(found: "SparsityStats") -> None:
    show_table(*found.table())
    print("")
    for note in found.notes():
        say(note)
