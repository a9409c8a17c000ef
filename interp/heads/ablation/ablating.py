"""Ablating heads: a model, some heads and a relation corpus to an AblationResult."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.weights import in_memory_hash
from interp.corpus.relations import RelationCorpus
from interp.heads.ablation.against import correlations, scores_by_relation
from interp.heads.ablation.asking import WHERES, asked_batches
from interp.heads.ablation.elsewhere import other_effects
from interp.heads.ablation.every_head import single_effects
from interp.heads.ablation.grouping import Ablator, group_effects, n_passes
from interp.heads.ablation.in_context import Measure
from interp.heads.ablation.matching import Matched, matched_groups, united
from interp.heads.ablation.plan import (
    Heads,
    Plan,
    conditions_of,
    documents_of,
    events_of,
    named_groups,
    opened,
)
from interp.heads.ablation.replacing import HeadLike, Mode, named_heads
from interp.heads.ablation.result import AblationResult
from interp.heads.ablation.standins import stand_ins
from interp.heads.ablation.statistics import Sequences, with_ends
from interp.heads.columns import Head
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.progress import progress
from interp.results.provenance import Provenance


def ablate_heads(
    model: TransformerBridge | str | Path,
    heads: Heads,
    relations: RelationCorpus | str | Path,
    *,
    modes: Sequence[str] = ("mean", "resample"),
    where: Sequence[str] = WHERES,
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
    corpus = opened(relations, bridge, sequences)
    groups = named_groups(bridge, heads)
    plan = Plan(
        conditions=conditions_of(modes, where),
        draws=draws,
        exact=exact,
        corruption=corruption,
        per_triplet=per_triplet,
        batch_size=batch_size,
        bootstrap=bootstrap,
        seed=seed,
    )
    documents = chosen_on or documents_of(scores, corpus, same_documents)
    score = scores_by_relation(
        scores, corpus.relations, (bridge.cfg.n_layers, bridge.cfg.n_heads), detector=detector
    )
    others = tuple(avoid)
    avoided = {*united(groups.values()), *(named_heads(bridge, others) if others else ())}
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
    events = events_of(corpus, plan)
    device = next(bridge.original_model.parameters()).device
    batches = asked_batches(corpus, events, batch_size=plan.batch_size, device=device)
    per_sequence = Sequences(corpus, events)
    times = per_sequence.resamples(plan.bootstrap, np.random.default_rng([plan.seed, 2]))
    matched = _matched(bridge, groups, plan, avoided)
    shape = bridge.cfg.n_layers, bridge.cfg.n_heads
    modes: list[Mode] = list(dict.fromkeys(mode for mode, _ in plan.conditions))
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
        single = single_effects(
            ablator, corpus, events, plan, groups=groups, sequences=per_sequence, times=times
        )
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
        **single._asdict(),
        score=score,
        score_name=score_name,
        correlation=correlations(score, single.effects(), seed=plan.seed),
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
