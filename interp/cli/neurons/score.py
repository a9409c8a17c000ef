"""`interp neurons score`: how well units detect functions, beside what chance gives."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interp.cli.figures import Figures, check_figures, write_figures
from interp.cli.options import Json, Out, Overwrite, Seed, print_json, say
from interp.cli.tables import show_table
from interp.results.atomic import check_out
from interp.results.errors import BadInput

if TYPE_CHECKING:
    from interp.capture.store import ActivationStore
    from interp.neurons.pooling import Transform
    from interp.neurons.scores import NeuronScores
    from interp.neurons.specialization import Specialization

Pool = Literal["max", "mean", "last", "token"]
Over = Literal["documents", "sequences"]
Chance = Literal["balance", "normalise", "none"]
By = Literal["ap", "skill", "information", "selectivity"]
_BEST = {
    "average precision": "best AP",
    "normalised average precision": "best normalised AP",
    "held-out accuracy": "best accuracy",
    "mutual information": "best bits",
    "selectivity": "best d'",
}
_SHOWN_FUNCTIONS = 40


def score(
    store: Annotated[Path, typer.Argument(help="A store that `interp capture --label` made.")],
    sites: Annotated[
        list[str], typer.Option("--site", help="Site with wildcards; may be repeated.")
    ],
    labels: Annotated[
        list[str], typer.Option("--label", help="Label column of the store; may be repeated.")
    ],
    out: Out,
    pool: Annotated[
        Pool, typer.Option("--pool", help="Of the tokens of a row; token: each is a row.")
    ] = "max",
    over: Annotated[Over, typer.Option("--over", help="What a row is.")] = "documents",
    within: Annotated[
        str | None,
        typer.Option("--within", help="Label whose values are sub-functions with their own rows."),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Label that says what a sub-function belongs to.")
    ] = None,
    measure: Annotated[
        By,
        typer.Option(
            "--measure",
            help="ap: average precision; skill: accuracy of a threshold on documents that did not "
            "set it; information: bits; selectivity: d' between class means.",
        ),
    ] = "ap",
    chance: Annotated[
        Chance,
        typer.Option("--chance", help="Against uneven classes: balance, normalise, or refuse."),
    ] = "balance",
    per_class: Annotated[
        int, typer.Option("--per-class", help="Rows drawn of each class at most, when balancing.")
    ] = 1000,
    permutations: Annotated[
        int,
        typer.Option("--permutations", help="Labels in other places; tokens keep their runs."),
    ] = 200,
    baseline: Annotated[
        list[Path] | None,
        typer.Option("--baseline", help="Store of the same text in another model. Repeatable."),
    ] = None,
    dictionary: Annotated[
        str | None, typer.Option("--dictionary", help="Score its features in place of neurons.")
    ] = None,
    sae_id: Annotated[
        str | None, typer.Option("--sae-id", help="Which of a release's dictionaries.")
    ] = None,
    heads: Annotated[
        bool, typer.Option("--heads", help="Score the norm of each head of an attn.hook_z site.")
    ] = False,
    specials: Annotated[
        bool, typer.Option("--specials", help="Count BOS, EOS and the like as text.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Use a dictionary of another model or site.")
    ] = False,
    figures: Figures = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Score every unit for every function, beside what labels in other places give.

    A label of two values is one function, of more one a value against the rest. A best of many
    units is high by chance: it stands beside the best on labels in other places, and --baseline
    adds the best of a model that learnt nothing (interp capture --random-weights). Tokens of one
    document are not independent: with --pool token the labels of whole documents change places or,
    where a document has several, all labels move along the text together.

    Example: interp neurons score store --site 'blocks.*.mlp.hook_post' --label answer --out scores
    """
    from interp.capture.distributed import current_ranks
    from interp.capture.store import ActivationStore
    from interp.neurons.baseline_store import baseline_name
    from interp.neurons.score import score_neurons
    from interp.neurons.specialization import Specialization

    ranks = current_ranks()
    ranks.first_only(lambda: check_out(out, replace=overwrite))
    ranks.first_only(lambda: check_figures(figures, out=out, overwrite=overwrite))
    opened = ActivationStore.open(store)
    baselines = {baseline_name(other, path): other for path, other in _stores(baseline)}
    names = _matching(opened, sites)
    if dictionary is not None and len(names) > 1:
        raise BadInput(f"--dictionary reads one site, and {len(names)} match: give one --site")
    transform, units = _units(dictionary, sae_id, heads, opened, names[0], force)
    given = " ".join([*(f"--site {s}" for s in sites), *(f"--label {name}" for name in labels)])
    found = Specialization(
        sites=tuple(
            score_neurons(
                opened,
                site=name,
                labels=labels,
                pool=pool,
                over=over,
                within=within,
                group=group,
                measure=measure,
                chance=None if chance == "none" else chance,
                per_class=per_class,
                n_permutations=permutations,
                transform=transform,
                units=units,
                baselines=baselines,
                specials=specials,
                seed=seed,
                command=f"interp neurons score {store} {given} --pool {pool} --measure {measure}",
            )
            for name in names
        )
    )
    if ranks.rank > 0:
        return
    if len(found.sites) == 1:
        found.sites[0].save(out, overwrite=overwrite)
    else:
        found.save(out, overwrite=overwrite)
    if figures is not None:
        _draw(found, figures, overwrite)
    if json:
        print_json({"path": str(out), **found.to_json()})
        return
    show(found)
    say(f"written to {out}")


def _draw(found: "Specialization", figures: Path, overwrite: bool) -> None:
    """Curves by group, overlap, and the distribution of every function where its best unit is."""
    from interp.plots.neurons import overlap_matrix, score_distribution, specialization_curve

    drawn = {"overlap": overlap_matrix(found)}
    for i, group in enumerate(found.groups[:_SHOWN_FUNCTIONS]):
        drawn[f"by_site_{i}"] = specialization_curve(found, group)
    for i, function in enumerate(found.sites[0].functions[:_SHOWN_FUNCTIONS]):
        best = max(found.sites, key=lambda scores, i=i: scores.best()[i])
        drawn[f"distribution_{i}"] = score_distribution(best, function.name)
    write_figures(drawn, figures, overwrite=overwrite)


def _matching(store: "ActivationStore", patterns: list[str]) -> list[str]:
    """The store's sites that a pattern matches, in the store's order."""
    for pattern in patterns:
        if not any(fnmatchcase(site, pattern) for site in store.sites):
            raise BadInput(f"{store.path} has no site {pattern!r}: it has {', '.join(store.sites)}")
    return [s for s in store.sites if any(fnmatchcase(s, pattern) for pattern in patterns)]


def _stores(paths: list[Path] | None) -> list[tuple[Path, "ActivationStore"]]:
    from interp.capture.store import ActivationStore

    return [(path, ActivationStore.open(path)) for path in paths or []]


def _units(
    dictionary: str | None,
    sae_id: str | None,
    heads: bool,
    store: "ActivationStore",
    site: str,
    force: bool,
) -> "tuple[Transform | None, str]":
    """What makes units of a row, and what they are called."""
    if heads and dictionary is not None:
        raise BadInput("--heads and --dictionary: choose one kind of unit")
    if heads:
        from interp.neurons.pooling import head_norms

        if len(store.shape(site)) != 2:
            raise BadInput(f"{site} holds no heads: give an attn.hook_z site")
        return head_norms, "heads"
    if dictionary is None:
        return None, "neurons"
    from dataclasses import replace
    from math import prod

    from interp.dictionaries.card import DictionaryCard, check_fits
    from interp.dictionaries.files import open_dictionary
    from interp.neurons.pooling import flatten

    sae = open_dictionary(dictionary, sae_id=sae_id).eval()
    # A transcoder's output is not looked at: the store need not hold it.
    card = replace(DictionaryCard.of(sae), site_out=None)
    check_fits(card, site=site, store=store, width=prod(store.shape(site)), force=force)
    return lambda rows: sae.encode(flatten(rows)), "features"


def show(found: "Specialization") -> None:
    """A table for people: each function's best unit beside its chance, and how many stand out."""

    q = found.q_best()
    lines = []
    for i, site in enumerate(found.sites):
        best, live = site.best(), site.n_units - int(site.dead.sum())
        for j, function in enumerate(site.functions[:_SHOWN_FUNCTIONS]):
            others = [f"{base[j].max():.3f}" for base in site.baseline.values()]
            lines.append(
                [
                    *(site.site, function.name, str(function.n)),
                    *(f"{best[j]:.3f}", f"{site.null_best[j].mean():.3f}", *others),
                    *(f"{site.p_best()[j]:.3g}", f"{q[i, j]:.3g}", str(int(site.top(j, 1)[0]))),
                    f"{int(site.specialised()[j].sum()):,} of {live:,}",
                ]
            )
    heading = [
        "site",
        "function",
        "rows",
        _BEST[found.sites[0].measure],
        "by chance",
        *found.sites[0].baseline,
    ]
    heading += ["p", "q", "unit", "units at FDR 0.05"]
    show_table(heading, lines, n_left=2)
    say("\n".join(_notes(found)))


def _notes(found: "Specialization") -> list[str]:
    one = found.sites[0]
    notes = [
        f"{_meaning(one)}, of {one.units} pooled by {one.pooling}; "
        f"{one.n_permutations} permutations: no p is below {1 / (1 + one.n_permutations):.2g}",
        *_exchanges(one),
    ]
    few = [f.name for f in one.functions if min(f.n_positive, f.n_negative) < 50]
    if few:
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        notes.append(
            f"fewer than 50 rows of a class: {', '.join(few[:5])}{more}; the best of many units "
            "that know nothing is high there"
        )
    if not one.baseline:
        notes.append("no model that learnt nothing is beside it: pass --baseline")
    hidden = len(one.functions) - _SHOWN_FUNCTIONS
    return notes + ([f"{hidden} more functions are in the finding"] if hidden > 0 else [])


def _meaning(scores: "NeuronScores") -> str:
    if scores.measure == "held-out accuracy":
        return (
            "accuracy on the half of the documents that set no threshold, mean of the two classes"
        )
    if scores.measure == "mutual information":
        return "bits between a unit's rank in 8 bins and the label, bias taken off"
    if scores.measure == "selectivity":
        return "d': distance of the two class means in standard deviations within them"
    return f"{scores.measure}, the better of two signs"


def _exchanges(scores: "NeuronScores") -> list[str]:
    """What chance moved, where it was not single rows."""
    said = {
        "documents": "whole documents exchange their labels",
        "rotations": "labels move along the text together, as they change within documents",
    }
    found = []
    for exchanged, what in said.items():
        names = [f.name for f in scores.functions if f.exchanged == exchanged]
        if names:
            where = "" if len(names) == len(scores.functions) else f" ({', '.join(names[:5])})"
            found.append(f"by chance{where}: {what}, since rows of a document are not independent")
    return found
