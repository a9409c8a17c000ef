"""`interp modules partition`: form experts of a layer's neurons."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from interp.cli.options import Device, Json, Out, Overwrite, Seed, print_json, say
from interp.results.atomic import check_out
from interp.results.errors import BadInput
from interp.results.processes import check_alone

if TYPE_CHECKING:
    from interp.modules.partition import Partition

_COMMUNITIES = ("louvain", "leiden")


def partition(
    model: Annotated[
        str, typer.Argument(help="Hub id, directory or bundled name; NAME@STEP for a checkpoint.")
    ],
    site: Annotated[
        str, typer.Option("--site", help="Neurons of one layer, as blocks.3.mlp.hook_post.")
    ],
    out: Out,
    n_experts: Annotated[
        int | None, typer.Option("--n-experts", help="Equal experts; must divide the neurons.")
    ] = None,
    by: Annotated[
        Literal["weights", "coactivation", "random", "louvain", "leiden"],
        typer.Option("--by", help="What forms experts; communities may be of any size."),
    ] = "weights",
    store: Annotated[
        Path | None, typer.Option("--store", help="Store that holds the site's activations.")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="Or a text to run the model on, as for capture.")
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
    n_rows: Annotated[
        int, typer.Option("--rows", help="Tokens to look at, evenly spaced, at most.")
    ] = 16_384,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", help="Tokens to choose them from.")
    ] = 100_000,
    active: Annotated[
        str,
        typer.Option(
            "--active", help="When a neuron is on: relu, abs:0.1, relmax:100, topk:32, cett:0.2."
        ),
    ] = "relu",
    weights: Annotated[
        Literal["joined", "gate", "in"],
        typer.Option("--weights", help="Rows of a gated MLP, by weights."),
    ] = "joined",
    affinity: Annotated[
        Literal["phi", "moefication"], typer.Option("--affinity", help="Weight of an edge.")
    ] = "phi",
    cut: Annotated[
        Literal["spectral", "metis"],
        typer.Option("--cut", help="Of the graph; metis needs pymetis."),
    ] = "spectral",
    n_restarts: Annotated[
        int, typer.Option("--restarts", help="Starts; the best is kept, all are compared.")
    ] = 8,
    n_shuffles: Annotated[
        int, typer.Option("--shuffles", help="Shuffled activations to search for the null.")
    ] = 20,
    seed: Seed = 0,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Form experts of a layer's neurons, beside random ones and what another start would say.

    By weights no text is needed and only the layer's own tensors are read. Activations (--store or
    --text) add the modularity of the co-activation graph with its nulls to any partition.
    Communities are slow: a start of louvain takes seconds at 800 neurons, minutes at thousands,
    and there are --restarts of them and one more for each of --shuffles.

    Example: interp modules partition functions/planted --site blocks.1.mlp.hook_post
    --n-experts 12 --out experts
    """
    from interp.modules.partitioning.run import partition as make

    check_alone("interp modules partition")
    check_out(out, replace=overwrite)
    if store is None and text is None and by not in ("weights", "random"):
        raise BadInput(f"--by {by} looks at what neurons do: give --store or --text")
    if store is not None and text is not None:
        raise BadInput("--store and --text: activations come from one of them")
    activity = None
    if store is not None or text is not None:
        source = _source(model, site, store, text, (length, packing, max_tokens, device))
        activity = _activity(source, site, active, n_rows)
    found = make(
        model,
        site,
        n_experts,
        by=by,
        activity=activity,
        rows=weights,
        affinity=affinity,
        cut=cut,
        seed=seed,
        n_restarts=n_restarts,
        n_shuffles=n_shuffles,
        command=f"interp modules partition {model} --site {site} --by {by}",
    )
    found.save(out, overwrite=overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
    else:
        say(partition_text(found))
        say(f"written to {out}")


def _source(
    model: str,
    site: str,
    store: Path | None,
    text: str | None,
    how: tuple[int | None, str, int, str],
) -> Any:
    """Where activations come from; a store of another model is refused."""
    from interp.capture.store import ActivationStore
    from interp.corpus.sources import open_corpus
    from interp.models.context import length_within
    from interp.models.hub import directory_of
    from interp.models.identity import model_hash
    from interp.models.load import load
    from interp.neurons.sparsity.sources import ModelRows, StoreRows
    from interp.results.errors import Mismatch

    length, packing, max_tokens, device = how
    if store is None:
        bridge = load(model, device=device)
        length = length_within(bridge, length, default=64)
        corpus = open_corpus(text, model, length=length, packing=packing)  # pyright: ignore[reportArgumentType]
        return ModelRows.of(bridge, corpus, [site], max_tokens=max_tokens)
    opened = ActivationStore.open(store)
    own, captured = model_hash(directory_of(model)), opened.provenance.model_hash
    if captured is not None and captured != own:
        raise Mismatch(
            f"{store} was captured from model {captured[:12]} and {model} is {own[:12]}: capture "
            "it again from this model"
        )
    return StoreRows.of(opened, [site], max_tokens=max_tokens)


def _activity(source: Any, site: str, active: str, n_rows: int) -> Any:
    from interp.modules.partitioning.run import Activity
    from interp.neurons.sparsity.rule import ActivityRule
    from interp.neurons.sparsity.sources import sample_rows

    rule = ActivityRule.parse(active)
    return Activity(sample_rows(source, n_rows=n_rows)[site], rule, source.corpus_hash)


def _idle(found: "Partition") -> str:
    """What became of the neurons that nothing was known of."""
    n = int(found.dead.sum())
    if found.kind not in _COMMUNITIES:
        return f"{n} dead, dealt at the end"
    if not n:
        return "every neuron has an edge"
    return f"{n} without an edge, a community of their own"


def partition_text(found: "Partition") -> str:
    """What a person reads of a partition: its objective, agreement and quality, each beside null.

    A score alone would mean nothing: noise has an objective too.
    """
    sizes = found.sizes
    of = f"{sizes.min()}" if found.is_balanced else f"{sizes.min()} to {sizes.max()}"
    lines = [
        f"{found.site}: {found.n_neurons:,} neurons in {found.n_experts} experts of {of}, by "
        f"{found.kind}; {_idle(found)}"
    ]
    null = found.null_objective
    if len(null):
        lines.append(
            f"  {found.objective_name}: {found.objective:.4g}; random partitions "
            f"{null.mean():.4g} (SD {null.std(ddof=1):.2g}, {len(null)} draws)"
        )
    if len(found.seeds) > 1:
        rounds = f", rounds {', '.join(map(str, found.rounds))}" if max(found.rounds) > 1 else ""
        lines.append(
            f"  {len(found.seeds)} starts{rounds}; seed-to-seed ARI of live neurons mean "
            f"{found.seed_ari.mean:.3f}, least {found.seed_ari.min:.3f} (1 the same, 0 by chance)"
        )
    quality = found.quality
    if quality is not None:
        one = " of one start" if found.kind in _COMMUNITIES and len(found.seeds) > 1 else ""
        lines.append(
            f"  modularity Q on {quality.affinity} of {quality.n_rows:,} rows: {quality.q:.3f}; "
            f"random partitions {quality.random.mean():.3f} (p {quality.p_random:.3g}, "
            f"{len(quality.random)} draws)"
        )
        if len(quality.shuffled):
            lines.append(
                f"  on shuffled activations: {quality.shuffled.mean():.3f}, z {quality.z:.1f}, "
                f"p {quality.p:.3g} ({len(quality.shuffled)} shuffles{one})"
            )
    return "\n".join(lines)
