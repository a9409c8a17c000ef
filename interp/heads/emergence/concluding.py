"""From the sums of all checkpoints to HeadEmergence: curves, intervals, change points, lags."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from interp.heads.emergence.checkpoint import Key, Plan, Traced
from interp.heads.emergence.curve import Curve, Resampling
from interp.heads.emergence.result import ARRAYS, Chosen, CurveFacts, HeadEmergence
from interp.heads.emergence.timing import change_point, lag_between
from interp.heads.emergence.tracing import curve_of
from interp.heads.scores import HeadScores

LAGGED = "per_opportunity"


def concluded(
    series: str,
    steps: tuple[int, ...],
    hashes: tuple[str | None, ...],
    traced: Sequence[Traced],
    *,
    plan: Plan,
    chosen: tuple[Chosen, ...],
    asked: Sequence[Curve],
    bootstrap: int,
) -> HeadEmergence:
    """The finding of a series; lags are told for each relation's heads against each level."""
    relations = plan.corpus.relations
    keys = list(traced[0].sums)
    curves = [
        curve_of(_name(key, relations), [checkpoint.sums[key] for checkpoint in traced])
        for key in keys
    ]
    facts = [
        _facts(key, curve, relations) for key, curve in zip(keys, curves, strict=True)
    ] + [
        CurveFacts(name=curve.name, kind="icl", relation=None, heads=(),
                   statistic=curve.name.split(" of ")[0], sample=curve.sample, n=curve.n)
        for curve in asked
    ]  # fmt: skip
    every = [*curves, *asked]
    draws = Resampling(draws=bootstrap, seed=plan.seed)
    ends = np.stack([_interval(draws, curve) for curve in every])
    last = traced[-1].scores
    k = max(1, min(10, last.score[..., 0].size // 4))
    agreement = [checkpoint.scores.compare(last, k=k) for checkpoint in traced]
    columns = last.names
    return HeadEmergence(
        series=series,
        steps=steps,
        model_hashes=hashes,
        relations=relations,
        preset=plan.tracing.choices.name,
        chosen=chosen,
        crowded=tuple(
            relation
            for relation, groups in plan.random.items()
            if any(set(group) & set(plan.heads[relation]) for group in groups)
        ),
        n_choosing=len(plan.choosing.sequences),
        n_tracing=len(plan.corpus.sequences),
        **{
            name: np.stack([_array(checkpoint.scores, name) for checkpoint in traced])
            for name in ARRAYS
        },
        k=k,
        spearman=np.array([[each[c].spearman for c in columns] for each in agreement]),
        jaccard=np.array([[each[c].jaccard for c in columns] for each in agreement]),
        curves=tuple(facts),
        value=np.stack([curve.values() for curve in every]),
        low=ends[:, 0],
        high=ends[:, 1],
        changes=tuple(change_point(curve, steps, draws) for curve in every),
        lags=tuple(
            lag_between(head, level, steps, draws)
            for (head, key) in _followers(curves, keys)
            for level in [*_levels(curves, keys, key.relation), *asked]
        ),
        provenance=plan.provenance,
    )


def _interval(draws: Resampling, curve: Curve) -> Float[np.ndarray, "ends steps"]:
    drawn = draws.of(curve)
    known = np.isfinite(drawn).mean(axis=0) >= 0.95
    ends = np.full((2, drawn.shape[1]), np.nan)
    if known.any():
        ends[:, known] = np.nanquantile(drawn[:, known], [0.025, 0.975], axis=0)
    return ends


def _followers(curves: Sequence[Curve], keys: Sequence[Key]) -> list[tuple[Curve, Key]]:
    """For each relation the curve of its heads together, or of its only head."""
    found: dict[int, tuple[Curve, Key]] = {}
    for curve, key in zip(curves, keys, strict=True):
        if key.kind in ("head", "heads") and key.statistic == LAGGED:
            several = key.kind == "heads"
            if several or key.relation not in found:
                found[key.relation] = (curve, key)
    return list(found.values())


def _levels(curves: Sequence[Curve], keys: Sequence[Key], relation: int) -> list[Curve]:
    return [
        curve
        for curve, key in zip(curves, keys, strict=True)
        if key.kind == "level" and key.relation == relation
    ]


def _array(scores: HeadScores, name: str) -> Float[np.ndarray, "layers heads relations"]:
    return scores.extras[name] if name in scores.extras else getattr(scores, name)


def _name(key: Key, relations: Sequence[str]) -> str:
    relation, heads = relations[key.relation], "+".join(map(str, key.heads))
    if key.kind in ("head", "heads"):
        return f"{relation} {heads} {key.statistic}"
    if key.kind == "level":
        return f"{relation} {key.statistic}"
    without = heads if key.kind == "ablated" else f"random heads for {heads}"
    return f"{relation} {key.statistic} without {without}"


def _facts(key: Key, curve: Curve, relations: Sequence[str]) -> CurveFacts:
    return CurveFacts(
        name=curve.name,
        kind=key.kind,
        relation=relations[key.relation],
        heads=tuple(map(str, key.heads)),
        statistic=key.statistic,
        sample=curve.sample,
        n=curve.n,
    )
