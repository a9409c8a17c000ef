"""Which neurons are disturbed for a function, and which for comparison.

A function's own experts are those whose neurons detect it more than they detect the other
functions: mean over members of (score(n, f) - mean over functions of score(n, .)). Without the
contrast, neurons that are good at everything would win every function.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.modules.partition import Partition
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch

Units = dict[str, Int[np.ndarray, " _"]]
"""Neurons by site."""


class Target(NamedTuple):
    """What is disturbed for one function."""

    units: Units
    experts: dict[str, tuple[int, ...]]
    """The chosen experts by site; empty where neurons were chosen one by one."""


def function_rows(scores: NeuronScores, function: str) -> Int[np.ndarray, " rows"] | None:
    """The sub-functions of `scores` that `function` means, None if it has none.

    By name; else by the value of a labelled column (`verb` for `upos=verb`); else by group.
    """
    names = [f.name for f in scores.functions]
    if function in names:
        return np.array([names.index(function)])
    by_value = [i for i, name in enumerate(names) if name.partition("=")[2] == function]
    if len(by_value) == 1:
        return np.array(by_value)
    return scores.of_group(function) if function in scores.groups else None


def contrast(scores: NeuronScores, function: str) -> Float[np.ndarray, " units"]:
    """How much more each unit detects `function` than functions in general; 0 where dead.

    Raises BadInput for selectivity, which has no highest value: the mean over an expert would be
    that of its one most selective neuron.
    """
    if scores.measure == "selectivity":
        raise BadInput(
            f"{scores.site} is scored by selectivity, which cannot be averaged over an expert: "
            "score with --measure ap, skill or information"
        )
    rows = function_rows(scores, function)
    if rows is None:
        raise Mismatch(
            f"{scores.site}: no scores for function {function!r}, there are "
            f"{', '.join(f.name for f in scores.functions)}"
        )
    found = scores.score[rows].mean(axis=0) - scores.score.mean(axis=0)
    return np.where(scores.dead, 0.0, found)


def by_experts(
    pairs: Sequence[tuple[NeuronScores, Partition]], function: str, n_experts: int
) -> Target:
    """The experts of each site with the highest mean contrast, and all of their neurons."""
    units, experts = {}, {}
    for scores, partition in pairs:
        if not 1 <= n_experts <= partition.n_experts:
            raise BadInput(
                f"{n_experts} experts of each layer: {partition.site} has {partition.n_experts}"
            )
        own = contrast(scores, function)
        means = np.bincount(partition.labels, weights=own) / partition.sizes
        best = np.argsort(-means, kind="stable")[:n_experts]
        experts[scores.site] = tuple(int(e) for e in np.sort(best))
        units[scores.site] = np.flatnonzero(np.isin(partition.labels, best))
    return Target(units, experts)


def by_neurons(scores: Sequence[NeuronScores], function: str, counts: dict[str, int]) -> Target:
    """The single neurons of each site with the highest contrast, as many as `counts` says."""
    units = {}
    for one in scores:
        if not 1 <= counts[one.site] <= one.n_units:
            raise BadInput(f"{counts[one.site]} neurons of {one.site}, which has {one.n_units}")
        best = np.argsort(-contrast(one, function), kind="stable")[: counts[one.site]]
        units[one.site] = np.sort(best)
    return Target(units, {})


def random_experts(
    partitions: Sequence[Partition], n_experts: int, *, rng: np.random.Generator
) -> Units:
    """The neurons of as many experts of each site, drawn at random."""
    return {
        p.site: np.flatnonzero(np.isin(p.labels, rng.permutation(p.n_experts)[:n_experts]))
        for p in partitions
    }


def random_neurons(
    units: Units, dead: dict[str, Bool[np.ndarray, " _"]], *, rng: np.random.Generator
) -> Units:
    """As many live and as many dead neurons of each site as `units` holds, drawn at random.

    Dead neurons do nothing when disturbed: a control with more of them would be too weak.
    """
    return {
        site: np.sort(
            np.concatenate(
                [
                    rng.permutation(np.flatnonzero(dead[site] == is_dead))[
                        : int((dead[site][chosen] == is_dead).sum())
                    ]
                    for is_dead in (False, True)
                ]
            )
        )
        for site, chosen in units.items()
    }


def random_mass(
    units: Units, mass: dict[str, Float[np.ndarray, " _"]], *, rng: np.random.Generator
) -> Units:
    """Random neurons of each site that carry as much activation as `units`, as near as they come.

    Taken in a random order until another one would lead further away.
    """
    found = {}
    for site, chosen in units.items():
        order = rng.permutation(len(mass[site]))
        total = np.concatenate([[0.0], np.cumsum(mass[site][order])])
        n = int(np.abs(total - mass[site][chosen].sum()).argmin())
        found[site] = np.sort(order[:n])
    return found


def count(units: Units) -> int:
    """Neurons in all sites together."""
    return sum(len(chosen) for chosen in units.values())


def carried(units: Units, mass: dict[str, Float[np.ndarray, " _"]]) -> float:
    """Mean absolute activation of a token, summed over the neurons."""
    return float(sum(mass[site][chosen].sum() for site, chosen in units.items()))
