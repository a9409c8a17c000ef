"""Follow a series of checkpoints: heads chosen at the last one, traced on other sequences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.ablation.matching import matched_groups
from interp.heads.ablation.replacing import named_heads
from interp.heads.columns import Head
from interp.heads.emergence.curve import Curve, Resampling
from interp.heads.emergence.levels import level_curves
from interp.heads.emergence.result import (
    ARRAYS,
    Chosen,
    CurveFacts,
    CurveKind,
    HeadEmergence,
)
from interp.heads.emergence.timing import change_point, lag_between
from interp.heads.emergence.tracing import (
    STATISTICS,
    Questions,
    Sums,
    answers,
    curve_of,
    documents_of,
    head_sums,
    without_heads,
)
from interp.heads.icl.levels import LevelCurves
from interp.heads.relations.choices import RelationChoices, choices_of
from interp.heads.relations.events import EventPlan, plan_events
from interp.heads.relations.run import tallies
from interp.heads.relations.summary import column_name, head_scores, semantic_heads
from interp.heads.scores import HeadScores
from interp.models.hub import directory_of
from interp.models.identity import model_hash
from interp.models.load import load
from interp.models.series import Checkpoint, checkpoints
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

LAGGED = "per_opportunity"


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What every checkpoint is asked, in the same way."""

    choosing: RelationCorpus
    questions: Questions
    tracing: EventPlan
    heads: dict[str, tuple[Head, ...]]
    random: dict[str, tuple[tuple[Head, ...], ...]]
    draws: int
    seed: int
    batch_size: int
    provenance: Provenance

    @property
    def corpus(self) -> RelationCorpus:
        return self.questions.corpus


class _Key(NamedTuple):
    """Which curve some sums belong to."""

    kind: CurveKind
    relation: int
    heads: tuple[Head, ...]
    statistic: str


class _Traced(NamedTuple):
    """One checkpoint."""

    scores: HeadScores
    sums: dict[_Key, Sums]


def follow_heads(
    series: str,
    relations: RelationCorpus | str | Path,
    *,
    steps: Sequence[int] | None = None,
    icl: LevelCurves | Path | str | None = None,
    preset: str | RelationChoices = "relation",
    heads: Sequence[str] = (),
    top: int = 3,
    n_random: int = 5,
    per_triplet: int = 4,
    draws: int = 2000,
    bootstrap: int = 1000,
    batch_size: int = 16,
    seed: int = 0,
    device: str = "cpu",
    command: str = "interp.follow_heads",
) -> HeadEmergence:
    """When the heads of each relation form over training, against when the model answers.

    `series` is what `checkpoints` takes. At the last checkpoint, on one half of the documents of
    `relations`, the `top` significant heads of each relation are chosen (or `heads` are given);
    every checkpoint is then measured on the other half. Levels are the answers to the relations'
    own questions, and those of `icl`, measured at the same checkpoints. With `n_random` above 0
    the answers are read again without the heads, and without as many random heads of their layers.

    Raises BadInput for a series of one checkpoint, an unknown step and where no head is found,
    Mismatch where `icl` is of other checkpoints.
    """
    followed = _followed(series, steps)
    directories = [directory_of(c.ref, revision=c.revision) for c in followed]
    hashes = tuple(model_hash(directory) for directory in directories)
    at = tuple(checkpoint.step for checkpoint in followed)
    levels = icl if isinstance(icl, LevelCurves) or icl is None else LevelCurves.load(icl)
    asked = [] if levels is None else level_curves(levels, at, hashes)
    corpus = (
        relations
        if isinstance(relations, RelationCorpus)
        else open_relations(relations, str(directories[-1]))
    )
    choices = choices_of(preset)
    provenance = Provenance.collect(
        command,
        model_hash=hashes[-1],
        corpus_hash=corpus.hash,
        seed=seed,
        settings={
            "choices": choices.to_json(),
            "heads": list(heads),
            "top": top,
            "n_random": n_random,
            "per_triplet": per_triplet,
            "draws": draws,
            "bootstrap": bootstrap,
            "model_hashes": list(hashes),
            "icl": None if levels is None else levels.provenance.to_json()["settings"],
        },
    )
    last = load(str(directories[-1]), device=device)
    choosing, tracing = corpus.halves(seed)
    picked, chosen = _choose(
        last, choosing, choices, named=heads, top=top, draws=draws, seed=seed,
        batch_size=batch_size, provenance=provenance,
    )  # fmt: skip
    plan = _Plan(
        choosing=choosing,
        questions=Questions.of(tracing, per_triplet=per_triplet, seed=seed),
        tracing=plan_events(tracing, choices, seed=seed),
        heads=picked,
        random=_random(last, picked, n_random, seed),
        draws=draws,
        seed=seed,
        batch_size=batch_size,
        provenance=provenance,
    )
    traced = []
    with progress("checkpoints", total=len(followed), unit="checkpoints") as advance:
        for directory, checkpoint in zip(directories, followed, strict=True):
            traced.append(_trace(load(str(directory), device=device), plan))
            advance(1, step=checkpoint.step)
    return _concluded(
        series, at, hashes, traced, plan=plan, chosen=chosen, asked=asked, bootstrap=bootstrap
    )


def _followed(series: str, steps: Sequence[int] | None) -> list[Checkpoint]:
    found = checkpoints(series)
    if steps is not None:
        missing = sorted(set(steps) - {checkpoint.step for checkpoint in found})
        if missing:
            there = ", ".join(str(checkpoint.step) for checkpoint in found)
            raise BadInput(f"{series} has no step {missing[0]}: it has {there}")
        found = [checkpoint for checkpoint in found if checkpoint.step in set(steps)]
    if len(found) < 2:
        raise BadInput(
            f"{series} has {len(found)} checkpoint here: emergence takes at least 2, and a change "
            "point 4"
        )
    return found


def _choose(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    choices: RelationChoices,
    *,
    named: Sequence[str],
    top: int,
    draws: int,
    seed: int,
    batch_size: int,
    provenance: Provenance,
) -> tuple[dict[str, tuple[Head, ...]], tuple[Chosen, ...]]:
    """By relation, the heads named, or the best of those that are significant."""
    (tally,) = tallies(bridge, corpus, [plan_events(corpus, choices, seed=seed)],
                       batch_size=batch_size)  # fmt: skip
    scores = head_scores(tally, provenance=provenance, draws=draws, seed=seed)
    given = named_heads(bridge, named) if named else ()
    picked, chosen = {}, []
    for relation in corpus.relations:
        column = column_name(choices, relation)
        found = semantic_heads(scores, column)
        best = [head for head in scores.top(column, found.size) if found[head]]
        picked[relation] = tuple(given or best[:top])
        chosen += [_chosen(scores, column, relation, head) for head in picked[relation]]
    if not chosen:
        raise BadInput(
            f"no head of {choices.name} is significant at the last checkpoint on "
            f"{len(corpus.sequences)} sequences: there is nothing to trace; name heads (--head)"
        )
    return picked, tuple(chosen)


def _chosen(scores: HeadScores, column: str, relation: str, head: Head) -> Chosen:
    score, p_adj = (float(scores.array(name, column)[head]) for name in ("score", "p_adj"))
    return Chosen(
        relation=relation,
        layer=head.layer,
        head=head.head,
        score=None if np.isnan(score) else score,
        p_adj=None if np.isnan(p_adj) else p_adj,
    )


def _random(
    bridge: TransformerBridge, heads: dict[str, tuple[Head, ...]], n: int, seed: int
) -> dict[str, tuple[tuple[Head, ...], ...]]:
    """Groups of other heads of the same layers, for each relation that has heads."""
    rng = np.random.default_rng([seed, 7])
    n_heads = int(bridge.cfg.n_heads)
    return {
        relation: matched_groups(own, n_heads=n_heads, draws=n, avoid=own, rng=rng).groups
        for relation, own in heads.items()
        if own and n > 0
    }


def _trace(bridge: TransformerBridge, plan: _Plan) -> _Traced:
    (tally,) = tallies(bridge, plan.corpus, [plan.tracing], batch_size=plan.batch_size)
    scores = head_scores(
        tally, provenance=plan.provenance, draws=plan.draws, bootstrap=100, seed=plan.seed
    )
    documents = documents_of(plan.corpus)
    sums: dict[_Key, Sums] = {}
    for r, relation in enumerate(plan.corpus.relations):
        own = plan.heads[relation]
        groups: list[tuple[CurveKind, tuple[Head, ...]]] = [("head", (head,)) for head in own]
        if len(own) > 1:
            groups.append(("heads", own))
        for kind, heads in groups:
            for statistic in STATISTICS:
                key = _Key(kind, r, heads, statistic)
                sums[key] = head_sums(tally, r, heads, statistic, documents)
        for level, found in answers(bridge, plan.questions, r, batch_size=plan.batch_size).items():
            sums[_Key("level", r, (), level)] = found
    if plan.random:
        sums |= dict(_ablated(bridge, plan))
    return _Traced(scores, sums)


def _ablated(bridge: TransformerBridge, plan: _Plan) -> Iterator[tuple[_Key, Sums]]:
    without = without_heads(bridge, plan.choosing, plan.questions, batch_size=plan.batch_size)
    for r, relation in enumerate(plan.corpus.relations):
        own = plan.heads[relation]
        if not own:
            continue
        for level, found in without(own, r).items():
            yield _Key("ablated", r, own, level), found
        groups = [without(group, r) for group in plan.random[relation]]
        for level in groups[0] if groups else ():
            yield _Key("random", r, own, level), _together([group[level] for group in groups])


def _together(several: Sequence[Sums]) -> Sums:
    parts, wholes = ([getattr(s, name) for s in several] for name in Sums._fields)
    return Sums(np.sum(parts, axis=0), np.sum(wholes, axis=0))


def _concluded(
    series: str,
    steps: tuple[int, ...],
    hashes: tuple[str | None, ...],
    traced: Sequence[_Traced],
    *,
    plan: _Plan,
    chosen: tuple[Chosen, ...],
    asked: Sequence[Curve],
    bootstrap: int,
) -> HeadEmergence:
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


def _interval(draws: Resampling, curve: Curve) -> np.ndarray:
    drawn = draws.of(curve)
    known = np.isfinite(drawn).mean(axis=0) >= 0.95
    ends = np.full((2, drawn.shape[1]), np.nan)
    if known.any():
        ends[:, known] = np.nanquantile(drawn[:, known], [0.025, 0.975], axis=0)
    return ends


def _followers(curves: Sequence[Curve], keys: Sequence[_Key]) -> list[tuple[Curve, _Key]]:
    """For each relation the curve of its heads together, or of its only head."""
    found: dict[int, tuple[Curve, _Key]] = {}
    for curve, key in zip(curves, keys, strict=True):
        if key.kind in ("head", "heads") and key.statistic == LAGGED:
            several = key.kind == "heads"
            if several or key.relation not in found:
                found[key.relation] = (curve, key)
    return list(found.values())


def _levels(curves: Sequence[Curve], keys: Sequence[_Key], relation: int) -> list[Curve]:
    return [
        curve
        for curve, key in zip(curves, keys, strict=True)
        if key.kind == "level" and key.relation == relation
    ]


def _array(scores: HeadScores, name: str) -> np.ndarray:
    return scores.extras[name] if name in scores.extras else getattr(scores, name)


def _name(key: _Key, relations: Sequence[str]) -> str:
    relation, heads = relations[key.relation], "+".join(map(str, key.heads))
    if key.kind in ("head", "heads"):
        return f"{relation} {heads} {key.statistic}"
    if key.kind == "level":
        return f"{relation} {key.statistic}"
    without = heads if key.kind == "ablated" else f"random heads for {heads}"
    return f"{relation} {key.statistic} without {without}"


def _facts(key: _Key, curve: Curve, relations: Sequence[str]) -> CurveFacts:
    return CurveFacts(
        name=curve.name,
        kind=key.kind,
        relation=relations[key.relation],
        heads=tuple(map(str, key.heads)),
        statistic=key.statistic,
        sample=curve.sample,
        n=curve.n,
    )
