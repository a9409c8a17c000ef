"""Perturbing: neurons of every function disturbed in turn, and every function asked each time.

Neurons are chosen by scores that were made on one text; means and spreads come from the validation
items; drops are taken on the test items, which nothing else has looked at.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.store import ActivationStore
from interp.modules.functional.find import paired
from interp.modules.partition import Partition
from interp.modules.perturbation.door import check_models, special_ids_of, splits_of
from interp.modules.perturbation.items import FunctionItem, function_items_hash, functions_of
from interp.modules.perturbation.measuring import (
    ItemBatch,
    ItemScores,
    estimate,
    item_batches,
    measure,
)
from interp.modules.perturbation.modes import MODES, SiteEstimates, scale_of
from interp.modules.perturbation.result import PerturbationResult
from interp.modules.perturbation.statistics import (
    bootstrap_means,
    mean_by_function,
    own_minus_other,
    own_minus_other_each,
    relabelled_rows,
    with_ends,
)
from interp.modules.perturbation.targets import (
    Target,
    Units,
    by_experts,
    by_neurons,
    carried,
    count,
    function_rows,
    random_experts,
    random_mass,
    random_neurons,
)
from interp.modules.perturbation.unseen import check_unseen
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch
from interp.results.progress import progress
from interp.results.provenance import Provenance

ChosenBy = Literal["experts", "neurons"]
Ended = Float[np.ndarray, "measures sets evaluated 3"]


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
    ones), and random neurons of equal activation mass, `draws` times. `store` is what the scores
    were made from: its sequences are refused as test items.

    Raises Mismatch for findings of other models (`force` lets them pass) or functions, BadInput for
    a function without items in both splits, Unsupported for a model that is no decoder.
    """
    if draws < 1 or bootstrap < 1:
        raise BadInput(f"{draws} random draws and {bootstrap} of the bootstrap: at least 1 of each")
    scale = scale_of(mode, scale)
    pairs = paired(scores, partitions)
    digest = check_models(bridge, pairs, force=force)
    validation, test = splits_of(items)
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
    run = _Run(
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
    measured = _measure_all(run, pairs, own, targets, by=by, n_experts=n_experts, draws=draws)
    return _result(
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


class _Run(NamedTuple):
    """What stays the same from one set of neurons to the next."""

    bridge: TransformerBridge
    items: list[FunctionItem]
    function: Int[np.ndarray, " items"]
    evaluated: tuple[str, ...]
    batches: list[ItemBatch]
    estimates: dict[str, SiteEstimates]
    mode: str
    scale: float
    seed: int

    def scores(self, units: Units | None, number: int, *, only: str | None = None) -> ItemScores:
        """Scores of all items, or of one function's, with `units` disturbed."""
        return measure(
            self.bridge,
            [batch for batch in self.batches if only in (None, batch.function)],
            self.items,
            units=units,
            mode=self.mode,
            scale=self.scale,
            estimates=self.estimates,
            seed=(self.seed, number),
        )

    def mass(self) -> dict[str, Float[np.ndarray, " _"]]:
        """Mean absolute activation of every neuron, by site."""
        return {site: found.mass.numpy() for site, found in self.estimates.items()}


class _Measured(NamedTuple):
    base: Float[np.ndarray, "measures items"]
    own: Float[np.ndarray, "measures functions items"]
    """Damage to every item with each function's neurons disturbed."""
    whole: Float[np.ndarray, "measures sets items"]
    alternatives: dict[str, Float[np.ndarray, "measures functions items"]]
    controls: dict[str, Float[np.ndarray, "measures draws functions"]]
    control_units: dict[str, Float[np.ndarray, " functions"]]
    control_mass: dict[str, Float[np.ndarray, " functions"]]


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


def _target(
    pairs: Sequence[tuple[NeuronScores, Partition]], function: str, by: str, n_experts: int
) -> Target:
    experts = by_experts(pairs, function, n_experts)
    if by == "experts":
        return experts
    if by != "neurons":
        raise BadInput(f"by {by!r}: expected experts or neurons")
    return _top(pairs, function, experts.units)


def _top(pairs: Sequence[tuple[NeuronScores, Partition]], function: str, units: Units) -> Target:
    counts = {site: len(chosen) for site, chosen in units.items()}
    return by_neurons([score for score, _ in pairs], function, counts)


def _measure_all(
    run: _Run,
    pairs: Sequence[tuple[NeuronScores, Partition]],
    own: Sequence[str],
    targets: Sequence[Target],
    *,
    by: str,
    n_experts: int,
    draws: int,
) -> _Measured:
    every = {score.site: np.arange(score.n_units) for score, _ in pairs}
    whole = [{site: units} for site, units in every.items()]
    whole = [*whole, every] if len(whole) > 1 else whole
    others = (
        {"top neurons": [_top(pairs, f, t.units).units for f, t in zip(own, targets, strict=True)]}
        if by == "experts"
        else {}
    )
    kinds = _controls(run, pairs, targets, n_experts)
    n_sets = 1 + len(own) * (1 + len(others) + draws * len(kinds) / len(run.evaluated)) + len(whole)
    number = iter(range(1, 1_000_000_000))
    with progress("perturb", total=round(n_sets * len(run.items)), unit="items") as advance:

        def asked(units: Units | None, only: str | None = None) -> Float[np.ndarray, "2 items"]:
            found = run.scores(units, next(number), only=only)
            advance(len(run.items) if only is None else len(run.items) // len(run.evaluated))
            return np.stack([found.accuracy, found.loss])

        base = asked(None)
        sign = np.array([1.0, -1.0])[:, None]

        def damage(sets: Sequence[Units]) -> Float[np.ndarray, "2 sets items"]:
            return np.stack([sign * (base - asked(units)) for units in sets], axis=1)

        def own_damage(units: Units, row: int) -> Float[np.ndarray, " 2"]:
            found = (sign * (base - asked(units, own[row])))[:, run.function == row]
            return found.mean(axis=1)

        drawn = {
            name: [[draw(row) for row in range(len(own))] for _ in range(draws)]
            for name, draw in kinds.items()
        }
        return _Measured(
            base=base,
            own=damage([target.units for target in targets]),
            whole=damage(whole),
            alternatives={name: damage(sets) for name, sets in others.items()},
            controls={
                name: np.array(
                    [[own_damage(units, row) for row, units in enumerate(one)] for one in sets]
                ).transpose(2, 0, 1)
                for name, sets in drawn.items()
            },
            control_units={n: _means(sets, count) for n, sets in drawn.items()},
            control_mass={
                n: _means(sets, lambda units: carried(units, run.mass()))
                for n, sets in drawn.items()
            },
        )


def _controls(
    run: _Run,
    pairs: Sequence[tuple[NeuronScores, Partition]],
    targets: Sequence[Target],
    n_experts: int,
) -> dict[str, Callable[[int], Units]]:
    """By kind, a function that draws neurons to hold against those of the function in a row."""
    rng = np.random.default_rng([run.seed, 2])
    dead = {score.site: score.dead for score, _ in pairs}
    partitions, mass = [partition for _, partition in pairs], run.mass()
    return {
        "random experts": lambda _row: random_experts(partitions, n_experts, rng=rng),
        "random neurons": lambda row: random_neurons(targets[row].units, dead, rng=rng),
        "random neurons of equal mass": lambda row: random_mass(targets[row].units, mass, rng=rng),
    }


def _means(
    sets: Sequence[Sequence[Units]], of: Callable[[Units], float]
) -> Float[np.ndarray, " functions"]:
    return np.array([[float(of(units)) for units in one] for one in sets]).mean(axis=0)


def _result(
    run: _Run,
    measured: _Measured,
    *,
    own: tuple[str, ...],
    targets: Sequence[Target],
    by: str,
    bootstrap: int,
    statements: tuple[str, ...],
    provenance: Provenance,
) -> PerturbationResult:
    n, n_all = len(own), len(run.evaluated)

    def drawn(values: Float[np.ndarray, "measures sets items"]) -> Float[np.ndarray, "..."]:
        # The same items are drawn for every array: all are of one bootstrap sample.
        return np.stack(
            [
                bootstrap_means(
                    one,
                    run.function,
                    n_all,
                    draws=bootstrap,
                    rng=np.random.default_rng([run.seed, 3]),
                )
                for one in values
            ]
        )

    def ended(values: Float[np.ndarray, "measures sets items"]) -> Ended:
        means = np.stack([mean_by_function(one, run.function, n_all) for one in values])
        return np.stack([with_ends(m, d) for m, d in zip(means, drawn(values), strict=True)])

    drop = ended(measured.own)
    square, sample = drop[:, :, :n, 0], drawn(measured.own)[..., :n]
    rng = np.random.default_rng([run.seed, 4])
    relabelled = [relabelled_rows(one, rng=rng) for one in square]
    sites = tuple(run.estimates)
    return PerturbationResult(
        functions=own,
        evaluated=run.evaluated,
        sites=sites,
        mode=run.mode,
        scale=run.scale,
        chosen_by=by,
        chosen={f: t.experts for f, t in zip(own, targets, strict=True)},
        base=ended(measured.base[:, None])[:, 0],
        drop=drop,
        whole=ended(measured.whole),
        alternatives={name: ended(values) for name, values in measured.alternatives.items()},
        controls=measured.controls,
        control_units=measured.control_units,
        control_mass=measured.control_mass,
        own_minus_other=np.stack(
            [
                with_ends(own_minus_other(s), own_minus_other(d))
                for s, d in zip(square, sample, strict=True)
            ]
        ),
        own_minus_other_functions=np.stack(
            [
                with_ends(own_minus_other_each(s), own_minus_other_each(d))
                for s, d in zip(square, sample, strict=True)
            ]
        ),
        p_relabelled=np.array([found.p for found in relabelled]),
        min_p_relabelled=relabelled[1].min_p,
        n_items=np.bincount(run.function, minlength=n_all),
        n_units=np.array([count(target.units) for target in targets]),
        mass=np.array([carried(target.units, run.mass()) for target in targets]),
        units={
            site: np.stack(
                [np.isin(np.arange(len(run.mass()[site])), t.units[site]) for t in targets]
            )
            for site in sites
        },
        statements=statements,
        provenance=provenance,
    )


def _statements(run: _Run, store: ActivationStore | None, own: tuple[str, ...]) -> tuple[str, ...]:
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
