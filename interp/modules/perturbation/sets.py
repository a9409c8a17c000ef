"""The sets of neurons that are disturbed in turn, and what each costs every item."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.modules.partition import Partition
from interp.modules.perturbation.items import FunctionItem
from interp.modules.perturbation.measuring import ItemBatch, ItemScores, measure
from interp.modules.perturbation.modes import SiteEstimates
from interp.modules.perturbation.targets import (
    Target,
    Units,
    by_neurons,
    carried,
    count,
    random_experts,
    random_mass,
    random_neurons,
)
from interp.neurons.scores import NeuronScores
from interp.results.progress import progress


class Run(NamedTuple):
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


class Measured(NamedTuple):
    """What was measured: accuracy and loss of every item, and the damage of every set to them."""

    base: Float[np.ndarray, "measures items"]
    own: Float[np.ndarray, "measures functions items"]
    """Damage to every item with each function's neurons disturbed."""
    whole: Float[np.ndarray, "measures sets items"]
    alternatives: dict[str, Float[np.ndarray, "measures functions items"]]
    controls: dict[str, Float[np.ndarray, "measures draws functions"]]
    control_units: dict[str, Float[np.ndarray, " functions"]]
    control_mass: dict[str, Float[np.ndarray, " functions"]]


def top_neurons(
    pairs: Sequence[tuple[NeuronScores, Partition]], function: str, units: Units
) -> Target:
    """As many single neurons of each site as `units` has, with the highest contrast."""
    counts = {site: len(chosen) for site, chosen in units.items()}
    return by_neurons([score for score, _ in pairs], function, counts)


def measure_all(
    run: Run,
    pairs: Sequence[tuple[NeuronScores, Partition]],
    own: Sequence[str],
    targets: Sequence[Target],
    *,
    by: str,
    n_experts: int,
    draws: int,
) -> Measured:
    every = {score.site: np.arange(score.n_units) for score, _ in pairs}
    whole = [{site: units} for site, units in every.items()]
    whole = [*whole, every] if len(whole) > 1 else whole
    others = (
        {
            "top neurons": [
                top_neurons(pairs, f, t.units).units for f, t in zip(own, targets, strict=True)
            ]
        }
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
        return Measured(
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
    run: Run,
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
