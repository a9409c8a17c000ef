"""Finding functional experts: scores and partitions of the same sites, counted and tested."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.modules.functional.enrichment import (
    counts_in_experts,
    modularization,
    p_values,
    smallest_p,
    tails,
    top_units,
)
from interp.modules.functional.experts import FunctionalExperts, Layer
from interp.modules.functional.groups import binomial_p, multiplicities, multiset_p
from interp.modules.partition import Partition
from interp.neurons.scores import NeuronScores
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance
from interp.results.significance import benjamini_hochberg

_FEWEST = 5
_SMALL_LAYER = 1000
_GROUP_DRAWS = 99_999


def functional_experts(
    scores: Sequence[NeuronScores],
    partitions: Sequence[Partition],
    *,
    fraction: float | None = None,
    alpha: float = 0.001,
    fdr: float = 0.05,
    draws: int = 200,
    seed: int = 0,
    command: str = "functional_experts",
) -> FunctionalExperts:
    """Which experts hold more of each function's best neurons than random sets of their size.

    One score and one partition a site, in any order; all with the same functions and number of
    experts. `fraction` of a layer's neurons count as the best, at least 5; None is 0.01, and 0.1 in
    layers of under 1000 neurons, where a hundredth is too few to tell anything. Neurons dead in
    either finding are left out. Raises Mismatch for findings that do not belong together, and
    BadInput where even all of the best in one expert could not reach `alpha`.
    """
    if draws < 1:
        raise BadInput(f"{draws} random partitions: give 1 or more, 200 as published")
    counted = [_counted(s, p, fraction, seed) for s, p in paired(scores, partitions)]
    for layer in counted:
        _require_reachable(layer, alpha)
    rng = np.random.default_rng([seed, 1])
    p = np.stack([p_values(layer.counts, layer.tail) for layer in counted])
    published = np.stack([p_values(layer.counts, layer.tail_published) for layer in counted])
    null = [_null(layer, draws, rng) for layer in counted]
    first = scores[0]
    function_groups = tuple(function.group for function in first.functions)
    members = [[i for i, g in enumerate(function_groups) if g == group] for group in first.groups]
    by_group = [_groups(layer, members, rng) for layer in counted]
    proportion, degree = _null_summary(null, counted, alpha=alpha, fdr=fdr)
    return FunctionalExperts(
        layers=tuple(layer.facts for layer in counted),
        functions=tuple(function.name for function in first.functions),
        function_groups=function_groups,
        fraction=counted[0].fraction,
        alpha=alpha,
        fdr=fdr,
        counts=np.stack([layer.counts for layer in counted]),
        sizes=np.stack([layer.sizes for layer in counted]),
        live=np.stack([layer.live for layer in counted]),
        p=p,
        q=adjusted(p),
        p_published=published,
        group_counts=np.stack([group.counts for group in by_group]),
        group_p=np.stack([group.p for group in by_group]),
        group_q=adjusted(np.stack([group.p for group in by_group])),
        group_p_binomial=np.stack([group.p_binomial for group in by_group]),
        n_permutations=_GROUP_DRAWS,
        null_proportion=proportion,
        null_degree=degree,
        baseline=_baselines(paired(scores, partitions), counted, alpha=alpha, fdr=fdr, seed=seed),
        provenance=Provenance.collect(
            command,
            model_hash=first.provenance.model_hash,
            corpus_hash=first.provenance.corpus_hash,
            seed=seed,
            settings={
                "fraction": fraction,
                "alpha": alpha,
                "fdr": fdr,
                "draws": draws,
                "scores": [s.provenance.to_json() for s in scores],
                "partitions": [p.provenance.to_json() for p in partitions],
            },
        ),
    )


def paired(
    scores: Sequence[NeuronScores], partitions: Sequence[Partition]
) -> list[tuple[NeuronScores, Partition]]:
    """Each score with the partition of its site, in the order of the scores.

    Raises Mismatch for a site that only one of the two has, another number of neurons, functions
    or experts, or another model.
    """
    sites, others = [s.site for s in scores], [p.site for p in partitions]
    if not sites or sorted(sites) != sorted(others) or len(set(sites)) < len(sites):
        raise Mismatch(
            f"scores of {', '.join(sites) or 'no site'} and partitions of "
            f"{', '.join(others) or 'no site'}: give one of each for every site"
        )
    by_site = {partition.site: partition for partition in partitions}
    pairs = [(score, by_site[score.site]) for score in scores]
    for score, partition in pairs:
        _check_pair(score, partition, pairs[0])
    return pairs


def adjusted(p: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Benjamini and Hochberg over all the numbers of an array."""
    return benjamini_hochberg(p.ravel()).reshape(p.shape)


class _Counted(NamedTuple):
    facts: Layer
    fraction: float
    labels: Int[np.ndarray, " units"]
    eligible: Bool[np.ndarray, " units"]
    top: Int[np.ndarray, "functions k"]
    counts: Int[np.ndarray, "functions experts"]
    sizes: Int[np.ndarray, " experts"]
    live: Int[np.ndarray, " experts"]
    tail: Float[np.ndarray, "experts counts"]
    tail_published: Float[np.ndarray, "experts counts"]


class _Groups(NamedTuple):
    counts: Int[np.ndarray, "groups experts"]
    p: Float[np.ndarray, "groups experts"]
    p_binomial: Float[np.ndarray, "groups experts"]


def _check_pair(
    score: NeuronScores, partition: Partition, first: tuple[NeuronScores, Partition]
) -> None:
    if score.n_units != partition.n_neurons:
        raise Mismatch(
            f"{score.site}: scores of {score.n_units} {score.units} and a partition of "
            f"{partition.n_neurons} neurons are not of the same layer"
        )
    mine, other = score.provenance.model_hash, partition.model_hash
    if mine is not None and other is not None and mine != other:
        raise Mismatch(
            f"{score.site}: scores of model {mine[:12]} and a partition of model {other[:12]}: "
            "make both from the same model"
        )
    if score.measure != first[0].measure:
        raise Mismatch(
            f"{score.site} is scored by {score.measure}, {first[0].site} by {first[0].measure}: "
            "score all sites with one --measure"
        )
    names, expected = ([f.name for f in s.functions] for s in (score, first[0]))
    if names != expected or partition.n_experts != first[1].n_experts:
        raise Mismatch(
            f"{score.site} has {len(names)} functions and {partition.n_experts} experts, "
            f"{first[0].site} {len(expected)} and {first[1].n_experts}: layers that are tested "
            "together need the same functions and number of experts"
        )


def _counted(
    scores: NeuronScores, partition: Partition, fraction: float | None, seed: int
) -> _Counted:
    n, labels = scores.n_units, partition.labels.astype(np.int64)
    own = fraction if fraction is not None else (0.1 if n < _SMALL_LAYER else 0.01)
    if not 0 < own <= 0.5:
        raise BadInput(f"fraction {own}: the best neurons are a share above 0 and up to 0.5")
    eligible = ~(scores.dead | partition.dead)
    n_live = int(eligible.sum())
    # 0.29 * 100 is a little less than 29.
    k = min(max(int(own * n + 1e-9), _FEWEST), n_live)
    top = top_units(scores.score, k, eligible=eligible, rng=np.random.default_rng([seed, 0]))
    sizes = partition.sizes.astype(np.int64)
    live = np.bincount(labels[eligible], minlength=partition.n_experts)
    return _Counted(
        facts=Layer(site=scores.site, partition=partition.kind, n_units=n, n_live=n_live, k=k),
        fraction=own,
        labels=labels,
        eligible=eligible,
        top=top,
        counts=counts_in_experts(top, labels, partition.n_experts),
        sizes=sizes,
        live=live,
        tail=tails(n_live, k, live),
        tail_published=tails(n, k, sizes),
    )


def _require_reachable(layer: _Counted, alpha: float) -> None:
    k, n_live = layer.facts.k, layer.facts.n_live
    smallest = smallest_p(n_live, k, layer.live)
    if smallest > alpha:
        raise BadInput(
            f"{layer.facts.site}: with {k} best of {n_live} live neurons and experts of up to "
            f"{layer.live.max()} no p below {smallest:.2g} can come out, and alpha is {alpha}: "
            "raise the fraction, or use fewer and larger experts"
        )


def _null(
    layer: _Counted, draws: int, rng: np.random.Generator
) -> Int[np.ndarray, "draws functions experts"]:
    """Counts under random partitions that keep every expert's number of live neurons."""
    n_experts, live = len(layer.sizes), np.flatnonzero(layer.eligible)
    found = np.empty((draws, *layer.counts.shape), np.int64)
    labels = layer.labels.copy()
    for draw in range(draws):
        labels[live] = rng.permutation(layer.labels[live])
        found[draw] = counts_in_experts(layer.top, labels, n_experts)
    return found


def _null_summary(
    null: Sequence[Int[np.ndarray, "draws functions experts"]],
    layers: Sequence[_Counted],
    *,
    alpha: float,
    fdr: float,
) -> tuple[Float[np.ndarray, "rules draws layers"], Float[np.ndarray, "rules draws layers"]]:
    """Proportion and degree of every random draw by both rules, in the order of RULES."""
    draws = len(null[0])
    proportion, degree = np.empty((2, 2, draws, len(layers)))
    for draw in range(draws):
        p = np.stack([p_values(n[draw], x.tail) for n, x in zip(null, layers, strict=True)])
        by_rule = [adjusted(p) <= fdr]
        by_rule.append(
            np.stack(
                [
                    p_values(n[draw], x.tail_published) <= alpha
                    for n, x in zip(null, layers, strict=True)
                ]
            )
        )
        for rule, functional in enumerate(by_rule):
            for i, layer in enumerate(layers):
                members = layer.live if rule == 0 else layer.sizes
                expected = members * (layer.facts.k / members.sum())
                found = modularization(functional[i], null[i][draw], expected)
                proportion[rule, draw, i] = found.proportion.mean()
                degree[rule, draw, i] = found.degree.mean()
    return proportion, degree


def _baselines(
    pairs: Sequence[tuple[NeuronScores, Partition]],
    layers: Sequence[_Counted],
    *,
    alpha: float,
    fdr: float,
    seed: int,
) -> dict[str, Int[np.ndarray, "rules layers"]]:
    """Functions with a functional expert by the scores of every model that all sites have."""
    names = [name for name in pairs[0][0].baseline if all(name in s.baseline for s, _ in pairs)]
    found = {}
    for name in names:
        counts = [
            counts_in_experts(
                top_units(
                    scores.baseline[name],
                    layer.facts.k,
                    eligible=layer.eligible,
                    rng=np.random.default_rng([seed, 0]),
                ),
                layer.labels,
                len(layer.sizes),
            )
            for (scores, _), layer in zip(pairs, layers, strict=True)
        ]
        p = np.stack([p_values(c, x.tail) for c, x in zip(counts, layers, strict=True)])
        raw = np.stack([p_values(c, x.tail_published) for c, x in zip(counts, layers, strict=True)])
        by_rule = np.stack([adjusted(p) <= fdr, raw <= alpha])
        found[name] = by_rule.any(axis=3).sum(axis=2)
    return found


def _groups(layer: _Counted, members: list[list[int]], rng: np.random.Generator) -> _Groups:
    counts, p, p_binomial = [], [], []
    live = np.flatnonzero(layer.eligible)
    for rows in members:
        own = layer.counts[rows].sum(axis=0)
        repeated = multiplicities(layer.top[rows], len(layer.labels))[live]
        counts.append(own)
        p.append(multiset_p(own, repeated, sizes=layer.live, draws=_GROUP_DRAWS, rng=rng))
        share = layer.sizes / layer.sizes.sum()
        p_binomial.append(binomial_p(own, total=int(repeated.sum()), share=share))
    return _Groups(np.stack(counts), np.stack(p), np.stack(p_binomial))
