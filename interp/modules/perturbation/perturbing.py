"""Perturbing: neurons of every function disturbed in turn, and every function asked each time.

Neurons are chosen by scores that were made on one text; means and spreads come from the validation
items; drops are taken on the test items, which nothing else has looked at.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.store import ActivationStore
from interp.models.context import refuse_long_items
from interp.modules.functional.find import paired
from interp.modules.partition import Partition
from interp.modules.perturbation.assembly import result_of
from interp.modules.perturbation.door import check_models, special_ids_of, splits_of
from interp.modules.perturbation.items import FunctionItem, function_items_hash, functions_of
from interp.modules.perturbation.measuring import estimate, item_batches
from interp.modules.perturbation.modes import MODES, SiteEstimates, scale_of
from interp.modules.perturbation.result import PerturbationResult
from interp.modules.perturbation.sets import Run, measure_all, top_neurons
from interp.modules.perturbation.targets import Target, by_experts, function_rows
from interp.modules.perturbation.unseen import check_unseen
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance

ChosenBy = Literal["experts", "neurons"]


def perturb(
    bridge: TransformerBridge,
    scores: Sequence[NeuronScores],
    partitions: Sequence[Partition],
    items: Sequence[FunctionItem],
    *,
    mode: str = "mean",
    scale: float | None = None,
    by: ChosenBy = "experts",
    n_experts: int = 2,
    draws: int = 20,
    batch_size: int = 256,
    bootstrap: int = 2000,
    seed: int = 0,
    store: ActivationStore | None = None,
    force: bool = False,
    command: str = "perturb",
) -> PerturbationResult:
    """What every function loses when the neurons of each are disturbed, beside random neurons.

    One score and one partition a site; all sites are disturbed together. Chosen for a function are
    the `n_experts` experts of each site with the highest contrast, or as many single neurons as
    these have (`by="neurons"`). Controls draw random experts, random neurons (as many live and dead
    ones), and random neurons of equal activation mass, `draws` times; a function's own may be among
    them. `store` is what the scores were made from: its sequences are refused as test items.

    Raises Mismatch for findings of other models (`force` lets them pass) or functions, BadInput for
    a function without items in both splits, Unsupported for a model that is no decoder.
    """
    if min(draws, bootstrap, batch_size) < 1:
        raise BadInput(
            f"{draws} random draws, {bootstrap} of the bootstrap, {batch_size} items at once: at "
            "least 1 of each"
        )
    scale = scale_of(mode, scale)
    pairs = paired(scores, partitions)
    digest = check_models(bridge, pairs, force=force)
    validation, test = splits_of(items)
    refuse_long_items(bridge, {item.id: len(item.tokens) for item in items})
    special = special_ids_of(bridge)
    if store is not None:
        check_unseen(test, store, special)
    own, evaluated = _functions(scores[0], test)
    if mode == "resample" and len(evaluated) < 2:
        raise BadInput("one function alone has no other to resample from")
    estimates = estimate(
        bridge,
        [score.site for score in scores],
        item_batches(validation, batch_size=batch_size, special_ids=special),
        keep_rows=mode == "resample",
    )
    _check_widths(scores, estimates)
    run = Run(
        bridge=bridge,
        items=test,
        function=np.array([evaluated.index(item.function) for item in test]),
        evaluated=evaluated,
        batches=item_batches(test, batch_size=batch_size, special_ids=special),
        estimates=estimates,
        mode=mode,
        scale=scale,
        seed=seed,
    )
    targets = [_target(pairs, function, by, n_experts) for function in own]
    measured = measure_all(run, pairs, own, targets, by=by, n_experts=n_experts, draws=draws)
    return result_of(
        run,
        measured,
        own=own,
        targets=targets,
        by=by,
        bootstrap=bootstrap,
        statements=_statements(run, store, own),
        provenance=Provenance.collect(
            command,
            model_hash=digest,
            corpus_hash=function_items_hash(items),
            seed=seed,
            settings={
                **{"mode": mode, "scale": scale, "by": by, "n_experts": n_experts, "draws": draws},
                **{"batch_size": batch_size, "bootstrap": bootstrap, "force": force},
                "scores": [s.provenance.to_json() for s in scores],
                "partitions": [p.provenance.to_json() for p in partitions],
            },
        ),
    )


def _functions(
    scores: NeuronScores, test: Sequence[FunctionItem]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Functions to disturb, and all to ask: those first, then the ones that have no scores."""
    asked = functions_of(test)
    own = tuple(f for f in asked if function_rows(scores, f) is not None)
    if not own:
        raise Mismatch(
            f"the data asks {', '.join(asked)}, the scores know "
            f"{', '.join(f.name for f in scores.functions)}: no function is in both"
        )
    return own, (*own, *(f for f in asked if f not in own))


def _check_widths(scores: Sequence[NeuronScores], estimates: dict[str, SiteEstimates]) -> None:
    for score in scores:
        width = len(estimates[score.site].mean)
        if width != score.n_units:
            raise Mismatch(
                f"{score.site} holds {width} neurons in this model, and the scores are of "
                f"{score.n_units} {score.units}: only neurons of the site itself can be disturbed"
            )


def _target(
    pairs: Sequence[tuple[NeuronScores, Partition]], function: str, by: str, n_experts: int
) -> Target:
    experts = by_experts(pairs, function, n_experts)
    if by == "experts":
        return experts
    if by != "neurons":
        raise BadInput(f"by {by!r}: expected experts or neurons")
    return top_neurons(pairs, function, experts.units)


def _statements(run: Run, store: ActivationStore | None, own: tuple[str, ...]) -> tuple[str, ...]:
    said = [f"Disturbed: {MODES[run.mode].text.format(scale=run.scale)}, on text tokens."]
    if store is None:
        said.append(
            "Whether the neurons were chosen on the tested sequences was not checked: give the "
            "store that the scores were made from."
        )
    extra = run.evaluated[len(own) :]
    if extra:
        said.append(f"Asked but not disturbed, for want of scores: {', '.join(extra)}.")
    if run.mode == "shuffle" and run.scale > 1:
        said.append(
            "Values that are dealt anew and multiplied damage functions whosever neurons they are: "
            "use it to compare with published numbers, and mean for a claim of cause."
        )
    return tuple(said)
