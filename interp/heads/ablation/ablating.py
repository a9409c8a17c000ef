"""Ablating heads: a model, some heads and a relation corpus to an AblationResult."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.weights import in_memory_hash
from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.ablation.asking import WHERES, Where, asked_batches
from interp.heads.ablation.context_loss import Measure
from interp.heads.ablation.corrupting import Side
from interp.heads.ablation.elsewhere import other_effects
from interp.heads.ablation.events import Events, asked_events
from interp.heads.ablation.grouping import (
    Ablator,
    Condition,
    group_effects,
    n_passes,
)
from interp.heads.ablation.matching import Matched, matched_groups, united
from interp.heads.ablation.replacing import MODES, HeadLike, Mode, named_heads, z_sites
from interp.heads.ablation.result import EFFECTS, AblationResult
from interp.heads.ablation.single import (
    ablated,
    attributed,
    corruption_of,
    every_side,
    nothing,
    on_grid,
    patched,
    stronger,
    to_try,
)
from interp.heads.ablation.standins import stand_ins
from interp.heads.ablation.statistics import Sequences, rank_correlation, with_ends
from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.models.context import refuse_beyond_context
from interp.models.load import load
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

Heads = Iterable[HeadLike] | Mapping[str, Iterable[HeadLike]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every choice of an ablation that can change a number."""

    conditions: tuple[Condition, ...]
    draws: int
    exact: int
    corruption: Literal["auto", "tails", "heads"]
    per_triplet: int
    batch_size: int
    bootstrap: int
    seed: int


def ablate_heads(
    model: TransformerBridge | str | Path,
    heads: Heads,
    relations: RelationCorpus | str | Path,
    *,
    modes: Sequence[Mode] = ("mean", "resample"),
    where: Sequence[Where] = WHERES,
    draws: int = 20,
    exact: int = 25,
    scores: HeadScores | None = None,
    detector: str = "relation",
    measures: Mapping[str, Measure] | None = None,
    avoid: Iterable[HeadLike] = (),
    corruption: Literal["auto", "tails", "heads"] = "auto",
    sequences: int | None = None,
    per_triplet: int = 4,
    batch_size: int = 32,
    bootstrap: int = 2000,
    same_documents: bool = False,
    chosen_on: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    command: str = "ablate_heads",
) -> AblationResult:
    """What a relation's answers lose when `heads` are replaced, and when random heads are.

    `heads` is a group, or several by name. Each is replaced in every mode, at the positions that
    are asked and at every text token (special tokens keep theirs), all of a sequence at once, and
    held against `draws` groups of as many other heads of each layer, drawn without repeats; none
    of them is in any group or in `avoid`, where a layer has enough others.

    Every head's own effect is attributed to first order, and `exact` of the largest, as many at
    random, and the heads of the groups are patched and ablated one by one. `scores` are set against
    these effects; scores made on this very corpus are refused (BadInput) unless `same_documents`.
    `measures` are read with the groups replaced everywhere.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    corpus = _opened(relations, bridge, sequences)
    groups = _groups(bridge, heads)
    plan = Plan(
        conditions=_conditions(modes, where),
        draws=draws,
        exact=exact,
        corruption=corruption,
        per_triplet=per_triplet,
        batch_size=batch_size,
        bootstrap=bootstrap,
        seed=seed,
    )
    documents = chosen_on or _chosen_on(scores, corpus, same_documents)
    score = _scores_by_relation(bridge, corpus, scores, detector)
    avoided = {
        *united(groups.values()),
        *(named_heads(bridge, avoid) if (avoid := tuple(avoid)) else ()),
    }
    return _run(
        bridge,
        corpus,
        groups,
        plan,
        avoided=avoided,
        score=score,
        score_name=detector if scores is not None else "",
        measures=measures or {},
        chosen_on=documents,
        command=command,
    )


def _run(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    groups: dict[str, tuple[Head, ...]],
    plan: Plan,
    *,
    avoided: set[Head],
    score: Float[np.ndarray, "layers heads columns"],
    score_name: str,
    measures: Mapping[str, Measure],
    chosen_on: str,
    command: str,
) -> AblationResult:
    model_hash = in_memory_hash(bridge)
    events = _events(corpus, plan)
    device = next(bridge.original_model.parameters()).device
    batches = asked_batches(corpus, events, batch_size=plan.batch_size, device=device)
    per_sequence = Sequences(corpus, events)
    times = per_sequence.resamples(plan.bootstrap, np.random.default_rng([plan.seed, 2]))
    matched = _matched(bridge, groups, plan, avoided)
    shape = bridge.cfg.n_layers, bridge.cfg.n_heads
    kept = frozenset(dict.fromkeys(mode for mode, _ in plan.conditions))
    modes = [mode for mode in MODES if mode in kept]
    n_tried = min(shape[0] * shape[1], 2 * plan.exact + len(united(groups.values())))
    n_each = 1 + n_passes(groups, matched, 1) * len(modes)
    n_text = n_passes(groups, matched, len(plan.conditions)) + 2 * n_tried + 1
    total = n_text * len(batches) + n_each * len(measures)
    with progress("ablating heads", total=total, unit="forward passes") as advance:
        held, base = stand_ins(bridge, corpus, batches, n_events=len(events), seed=plan.seed)
        ablator = Ablator(
            bridge=bridge, batches=batches, stand_ins=held, base=base, advance=advance
        )
        effects = group_effects(
            ablator,
            groups,
            matched,
            plan.conditions,
            sequences=per_sequence,
            times=times,
            rng=np.random.default_rng([plan.seed, 3]),
        )
        single = _single(ablator, corpus, events, plan, groups, per_sequence, times)
        others = other_effects(
            bridge,
            measures,
            groups,
            matched,
            modes,
            stand_ins=held,
            bootstrap=plan.bootstrap,
            seed=plan.seed,
            advance=advance,
        )
    base_totals = per_sequence.totals(base)
    return AblationResult(
        groups=groups,
        conditions=tuple(plan.conditions),
        relations=corpus.relations,
        base=with_ends(base_totals.mean(), base_totals.drawn(times)),
        random_heads={name: matched[name].groups for name in groups},
        **vars(effects),
        n_events=per_sequence.n_events,
        n_sequences=per_sequence.n_sequences,
        **single,
        score=score,
        score_name=score_name,
        correlation=_correlations(score, single, plan.seed),
        others=tuple(measures),
        other_base=others.base,
        other_effect=others.effect,
        other_random=others.random,
        other_over_random=others.over_random,
        other_p=others.p,
        chosen_on=chosen_on,
        dropped=events.dropped,
        statements=_statements(groups, matched, plan, per_sequence),
        provenance=Provenance.collect(
            command,
            model_hash=model_hash,
            corpus_hash=corpus.hash,
            seed=plan.seed,
            settings=_settings(plan, groups, avoided),
        ),
    )


def _single(
    ablator: Ablator,
    corpus: RelationCorpus,
    events: Events,
    plan: Plan,
    groups: Mapping[str, Sequence[Head]],
    sequences: Sequences,
    times: Float[np.ndarray, "draws documents"],
) -> dict[str, Any]:
    """The fields of the result that are about single heads."""
    bridge, batches, margin = ablator.bridge, ablator.batches, ablator.base[0]
    shape = bridge.cfg.n_layers, bridge.cfg.n_heads
    n_columns = sequences.n_columns
    sides = every_side(plan.corruption)
    tried = [
        corruption_of(
            bridge, corpus, events, batches, margin,
            side=side, seed=plan.seed, bootstrap=plan.bootstrap,
        )
        for side in sides
    ]  # fmt: skip
    drop = np.full((2, n_columns, 3), np.nan)
    for side, one in zip(sides, tried, strict=True):
        if one is not None:
            drop[("tails", "heads").index(side)] = one.drop
    best = stronger(tried)
    first = exactly = nothing(shape, n_columns)
    rng = np.random.default_rng([plan.seed, 5])
    own_times = (
        best.sequences.resamples(plan.bootstrap, np.random.default_rng([plan.seed, 7]))
        if best
        else times
    )
    if best is not None:
        first = attributed(bridge, corpus, batches, best, times=own_times, advance=ablator.advance)
    heads = to_try(
        first[..., 0, 0] if best else None,
        shape,
        exact=plan.exact,
        also=united(groups.values()),
        rng=rng,
    )
    if best is not None:
        values = patched(
            bridge, batches, best, heads, margin, times=own_times, advance=ablator.advance
        )
        exactly = on_grid(values, heads, shape, n_columns)
    alone = ablated(ablator, heads, plan.conditions[0], sequences=sequences, times=times)
    side: Side | Literal["none"] = best.corrupted.side if best else "none"
    return {
        "corruption": side,
        "corruption_drop": drop,
        "attributed": first,
        "patched": exactly,
        "ablated": on_grid(alone, heads, shape, n_columns),
    }


def _opened(
    relations: RelationCorpus | str | Path, bridge: TransformerBridge, sequences: int | None
) -> RelationCorpus:
    corpus = (
        relations if isinstance(relations, RelationCorpus) else open_relations(relations, bridge)
    )
    if sequences is not None:
        corpus = replace(corpus, sequences=corpus.sequences[:sequences])
    if not corpus.sequences:
        raise BadInput(f"{corpus.name} has no sequence: there is nothing to ask")
    refuse_beyond_context(bridge, max(len(s.tokens) for s in corpus.sequences))
    return corpus


def _groups(bridge: TransformerBridge, heads: Heads) -> dict[str, tuple[Head, ...]]:
    z_sites(bridge)
    named = heads if isinstance(heads, Mapping) else {"heads": heads}
    if not named:
        raise BadInput("no group of heads: give at least one head, such as L1H2")
    return {name: named_heads(bridge, group) for name, group in named.items()}


def _conditions(modes: Sequence[Mode], where: Sequence[Where]) -> tuple[Condition, ...]:
    for kind, given, known in (("mode", modes, MODES), ("where", where, WHERES)):
        wrong = [one for one in given if one not in known]
        if wrong or not given:
            raise BadInput(f"{kind} {', '.join(wrong) or 'none'}: choose of {', '.join(known)}")
    return tuple(dict.fromkeys((mode, place) for mode in modes for place in where))


def _events(corpus: RelationCorpus, plan: Plan) -> Events:
    events = asked_events(corpus, per_triplet=plan.per_triplet, seed=plan.seed)
    if not len(events):
        why = ", ".join(f"{n} {reason}" for reason, n in events.dropped.items())
        raise BadInput(
            f"{corpus.name} asks for no tail that can be told from others "
            f"({why or 'it has no triplet'}): entities of the tail's type must be mentioned too"
        )
    return events


def _chosen_on(scores: HeadScores | None, corpus: RelationCorpus, same: bool) -> str:
    if scores is None:
        return "not said"
    if scores.provenance.corpus_hash != corpus.hash:
        return "another text, by its hash"
    if not same:
        raise BadInput(
            "the scores were made on these very documents, on which chance favours the heads it "
            "chose: ablate on the other half, or allow the same documents (same_documents)"
        )
    return "these same documents, which favours the chosen heads"


def _scores_by_relation(
    bridge: TransformerBridge, corpus: RelationCorpus, scores: HeadScores | None, detector: str
) -> Float[np.ndarray, "layers heads columns"]:
    shape = bridge.cfg.n_layers, bridge.cfg.n_heads
    found = np.full((*shape, 1 + len(corpus.relations)), np.nan)
    if scores is None:
        return found
    if scores.score.shape[:2] != shape:
        raise BadInput(
            f"scores of {scores.n_layers} layers of {scores.n_heads} heads, and a model of "
            f"{shape[0]} of {shape[1]}: score the heads of this model"
        )
    for column in scores.columns:
        if column.detector == detector and column.relation in corpus.relations:
            at = 1 + corpus.relations.index(column.relation)
            found[..., at] = scores.array("score", column.name)
    return found


def _matched(
    bridge: TransformerBridge,
    groups: Mapping[str, Sequence[Head]],
    plan: Plan,
    avoided: set[Head],
) -> dict[str, Matched]:
    return {
        name: matched_groups(
            heads,
            n_heads=bridge.cfg.n_heads,
            draws=plan.draws,
            avoid=avoided,
            rng=np.random.default_rng([plan.seed, 1, i]),
        )
        for i, (name, heads) in enumerate(groups.items())
    }


def _correlations(
    score: Float[np.ndarray, "layers heads columns"], single: Mapping[str, Any], seed: int
) -> Float[np.ndarray, "effects columns 3"]:
    """Of each effect: pooled over relations, then relation by relation."""
    n = score.shape[-1]
    flat = score.reshape(-1, n)
    found = np.full((len(EFFECTS), n, 3), np.nan)
    for e, name in enumerate(EFFECTS):
        effect = single[name][..., 0].reshape(-1, n)
        for c in range(n):
            own = slice(1, None) if c == 0 else slice(c, c + 1)
            rng = np.random.default_rng([seed, 29])
            found[e, c] = rank_correlation(flat[:, own], effect[:, own], rng=rng)
    return found


def _statements(
    groups: Mapping[str, Sequence[Head]],
    matched: Mapping[str, Matched],
    plan: Plan,
    sequences: Sequences,
) -> tuple[str, ...]:
    said = []
    for name in groups:
        own = matched[name]
        if own.n_possible == 0:
            said.append(f"{name}: its layers hold no other group of heads to compare with.")
        elif len(own.groups) < plan.draws:
            said.append(
                f"{name}: its layers allow {own.n_possible} other groups, all of them tried; the "
                f"smallest p is {1 / (1 + len(own.groups)):.2g}."
            )
        if own.with_found:
            layers = ", ".join(map(str, own.with_found))
            said.append(
                f"{name}: layer {layers} has too few other heads, so random groups hold found "
                "heads there."
            )
    if len(sequences.documents) < 2:
        said.append("One document: nothing can be said of how far the effects vary.")
    return tuple(said)


def _settings(
    plan: Plan, groups: Mapping[str, Sequence[Head]], avoided: set[Head]
) -> dict[str, Any]:
    return {
        **vars(plan),
        "conditions": [list(condition) for condition in plan.conditions],
        "groups": {name: list(map(str, heads)) for name, heads in groups.items()},
        "avoid": list(map(str, sorted(avoided))),
    }
