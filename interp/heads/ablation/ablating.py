"""Ablating heads: a model, some heads and a relation corpus to an AblationResult."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.weights import in_memory_hash
from interp.corpus.relations import RelationCorpus
from interp.heads.ablation.against import correlations, refuse_other_model, scores_by_relation
from interp.heads.ablation.asking import WHERES, asked_batches
from interp.heads.ablation.elsewhere import other_effects
from interp.heads.ablation.every_head import single_effects
from interp.heads.ablation.grouping import Ablator, group_effects, n_passes
from interp.heads.ablation.in_context import Measure
from interp.heads.ablation.matching import Matched, matched_groups, united
from interp.heads.ablation.plan import (
    Heads,
    Plan,
    asked_of,
    conditions_of,
    events_of,
    modes_of,
    named_groups,
    opened,
)
from interp.heads.ablation.replacing import HeadLike, named_heads
from interp.heads.ablation.result import AblationResult
from interp.heads.ablation.seen import chosen_on as documents_chosen_on
from interp.heads.ablation.standins import stand_ins
from interp.heads.ablation.statistics import Sequences, with_ends
from interp.heads.columns import Head
from interp.heads.cost import Part, stated, to_standard_error
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.processes import check_alone
from interp.results.progress import progress
from interp.results.provenance import Provenance

_WORTH_SAYING_S = 60.0
ELSEWHERE = (
    "Measures on other text: what stands in for the heads, means and rows alike, is of the "
    "relations' documents, so that part of a change is that of the text; random heads share it."
)


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
    other_checkpoint: bool = False,
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
    these effects; scores made on any of the documents asked are refused (BadInput) unless
    `same_documents`.
    `measures` are read with the groups replaced everywhere.
    """
    check_alone("ablating heads")
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    whole = opened(relations, bridge)
    corpus = asked_of(whole, bridge, sequences)
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
    documents = chosen_on or documents_chosen_on(
        scores, whole, asked=corpus, detector=detector, same=same_documents
    )
    score = scores_by_relation(
        scores, corpus.relations, (bridge.cfg.n_layers, bridge.cfg.n_heads), detector=detector
    )
    # Before any work: the files are read, and what is hashed is what will run.
    model_hash = in_memory_hash(bridge)
    said = refuse_other_model(scores, model_hash, other_checkpoint=other_checkpoint)
    others = tuple(avoid)
    avoided = {*united(groups.values()), *(named_heads(bridge, others) if others else ())}
    return _Ablation(
        bridge=bridge,
        model_hash=model_hash,
        corpus=corpus,
        groups=groups,
        plan=plan,
        avoided=avoided,
        score=score,
        score_name=detector if scores is not None else "",
        measures=measures or {},
        chosen_on=documents,
        said=said,
        command=command,
    ).run()


@dataclass(frozen=True, kw_only=True)
class _Ablation:
    """All that one ablation is made of, checked."""

    bridge: TransformerBridge
    model_hash: str
    corpus: RelationCorpus
    groups: dict[str, tuple[Head, ...]]
    plan: Plan
    avoided: set[Head]
    score: Float[np.ndarray, "layers heads columns"]
    score_name: str
    measures: Mapping[str, Measure]
    chosen_on: str
    said: tuple[str, ...]
    """Of the scores, for the reader."""
    command: str

    def run(self) -> AblationResult:
        bridge, corpus, plan = self.bridge, self.corpus, self.plan
        events = events_of(corpus, plan)
        device = next(bridge.original_model.parameters()).device
        batches = asked_batches(corpus, events, batch_size=plan.batch_size, device=device)
        sequences = Sequences(corpus, events)
        times = sequences.resamples(plan.bootstrap, np.random.default_rng([plan.seed, 2]))
        matched = {name: self._matched(heads) for name, heads in self.groups.items()}
        total = self._n_passes(matched, len(batches))
        start = perf_counter()
        held, base = stand_ins(bridge, corpus, batches, n_events=len(events), seed=plan.seed)
        _say_cost(total, (perf_counter() - start) / len(batches))
        with progress("ablating heads", total=total, unit="forward passes") as advance:
            ablator = Ablator(
                bridge=bridge, batches=batches, stand_ins=held, base=base, advance=advance
            )
            effects = group_effects(
                ablator,
                self.groups,
                matched,
                plan.conditions,
                sequences=sequences,
                times=times,
                seed=plan.seed,
            )
            single = single_effects(
                ablator,
                corpus,
                events,
                plan,
                groups=self.groups,
                sequences=sequences,
                times=times,
            )
            others = other_effects(
                bridge,
                self.measures,
                self.groups,
                matched,
                modes_of(plan),
                stand_ins=held,
                bootstrap=plan.bootstrap,
                seed=plan.seed,
                advance=advance,
            )
        as_it_is = sequences.totals(base)
        return AblationResult(
            groups=self.groups,
            conditions=plan.conditions,
            relations=corpus.relations,
            base=with_ends(as_it_is.mean(), as_it_is.drawn(times)),
            random_heads={name: one.groups for name, one in matched.items()},
            n_events=sequences.n_events,
            n_sequences=sequences.n_sequences,
            score=self.score,
            score_name=self.score_name,
            correlation=correlations(self.score, single.effects(), seed=plan.seed),
            others=tuple(self.measures),
            chosen_on=self.chosen_on,
            dropped=events.dropped,
            statements=(
                *self.said,
                *_statements(matched, plan, len(sequences.documents)),
                *([ELSEWHERE] if self.measures else ()),
            ),
            provenance=self._provenance(),
            **vars(effects),
            **single._asdict(),
            **{f"other_{name}": values for name, values in vars(others).items()},
        )

    def _matched(self, heads: Sequence[Head]) -> Matched:
        # Seeded by the heads: what a group is held against does not depend on the other groups.
        rng = np.random.default_rng([self.plan.seed, 1, *(i for head in heads for i in head)])
        return matched_groups(
            heads,
            n_heads=self.bridge.cfg.n_heads,
            draws=self.plan.draws,
            avoid=self.avoided,
            rng=rng,
        )

    def _n_passes(self, matched: Mapping[str, Matched], n_batches: int) -> int:
        """Forward passes, a measure that is read once counted as one."""
        plan, cfg = self.plan, self.bridge.cfg
        tried = min(cfg.n_layers * cfg.n_heads, 2 * plan.exact + len(united(self.groups.values())))
        asked = n_passes(self.groups, matched, len(plan.conditions)) + 2 * tried + 1
        each = 1 + n_passes(self.groups, matched, len(modes_of(plan)))
        return asked * n_batches + each * len(self.measures)

    def _provenance(self) -> Provenance:
        plan, groups = vars(self.plan), self.groups.items()
        return Provenance.collect(
            self.command,
            model_hash=self.model_hash,
            corpus_hash=self.corpus.hash,
            seed=self.plan.seed,
            settings={
                **plan,
                "conditions": [list(condition) for condition in self.plan.conditions],
                "groups": {name: list(map(str, heads)) for name, heads in groups},
                "avoid": list(map(str, sorted(self.avoided))),
            },
        )


def _say_cost(n: int, seconds_each: float) -> None:
    if n * seconds_each > _WORTH_SAYING_S:
        to_standard_error(stated("ablating heads", [Part("forward passes", n, seconds_each)]))


def _statements(matched: Mapping[str, Matched], plan: Plan, n_documents: int) -> tuple[str, ...]:
    said = []
    for name, own in matched.items():
        if own.n_possible == 0:
            said.append(
                f"{name}: its layers hold no other group of heads to compare with: "
                "name fewer heads, or only the best (top)."
            )
        elif len(own.groups) < plan.draws:
            said.append(
                f"{name}: its layers allow {own.n_possible} other groups, all of them tried; the "
                f"smallest p is {1 / (1 + len(own.groups)):.2g}."
            )
        if own.with_found and own.n_possible:
            layers = ", ".join(map(str, own.with_found))
            said.append(
                f"{name}: layer {layers} has too few other heads, so random groups hold found "
                "heads there."
            )
    if n_documents < 2:
        said.append("One document: nothing can be said of how far the effects vary.")
    return tuple(said)
