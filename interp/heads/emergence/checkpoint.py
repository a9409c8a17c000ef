"""One checkpoint of a series: every head's scores, and the sums of every curve."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus
from interp.heads.columns import Head
from interp.heads.emergence.result import CurveKind
from interp.heads.emergence.tracing import (
    STATISTICS,
    Questions,
    Sums,
    answers,
    head_sums,
    without_heads,
)
from interp.heads.relations.events import EventPlan
from interp.heads.relations.run import tallies
from interp.heads.relations.summary import head_scores
from interp.heads.scores import HeadScores
from interp.results.provenance import Provenance

_BOOTSTRAP = 100  # The intervals shown are those of the curves.


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every checkpoint is asked, in the same way."""

    choosing: RelationCorpus
    """The other half."""
    questions: Questions
    tracing: EventPlan
    heads: dict[str, tuple[Head, ...]]
    """By relation."""
    random: dict[str, tuple[tuple[Head, ...], ...]]
    """By relation, as many heads of the same layers."""
    draws: int
    seed: int
    batch_size: int
    provenance: Provenance

    @property
    def corpus(self) -> RelationCorpus:
        """The half that is traced."""
        return self.questions.corpus


class Key(NamedTuple):
    """Which curve some sums belong to."""

    kind: CurveKind
    relation: int
    heads: tuple[Head, ...]
    statistic: str


class Traced(NamedTuple):
    """One checkpoint."""

    scores: HeadScores
    sums: dict[Key, Sums]


def trace(bridge: TransformerBridge, plan: Plan) -> Traced:
    """Scores of all heads on the traced half; sums of chosen heads, of answers, of ablations."""
    (tally,) = tallies(bridge, plan.corpus, [plan.tracing], batch_size=plan.batch_size)
    scores = head_scores(
        tally, provenance=plan.provenance, draws=plan.draws, bootstrap=_BOOTSTRAP, seed=plan.seed
    )
    documents = plan.questions.documents
    sums: dict[Key, Sums] = {}
    for r, relation in enumerate(plan.corpus.relations):
        own = plan.heads[relation]
        groups: list[tuple[CurveKind, tuple[Head, ...]]] = [("head", (head,)) for head in own]
        if len(own) > 1:
            groups.append(("heads", own))
        for kind, heads in groups:
            for statistic in STATISTICS:
                key = Key(kind, r, heads, statistic)
                sums[key] = head_sums(tally, r, heads, statistic, documents)
        for level, found in answers(bridge, plan.questions, r, batch_size=plan.batch_size).items():
            sums[Key("level", r, (), level)] = found
    if plan.random:
        sums |= dict(_ablated(bridge, plan))
    return Traced(scores, sums)


def _ablated(bridge: TransformerBridge, plan: Plan) -> Iterator[tuple[Key, Sums]]:
    without = without_heads(bridge, plan.choosing, plan.questions, batch_size=plan.batch_size)
    for r, relation in enumerate(plan.corpus.relations):
        own = plan.heads[relation]
        if not own:
            continue
        for level, found in without(own, r).items():
            yield Key("ablated", r, own, level), found
        groups = [without(group, r) for group in plan.random[relation]]
        for level in groups[0] if groups else ():
            yield Key("random", r, own, level), _together([group[level] for group in groups])


def _together(several: Sequence[Sums]) -> Sums:
    parts, wholes = ([getattr(s, name) for s in several] for name in Sums._fields)
    return Sums(np.sum(parts, axis=0), np.sum(wholes, axis=0))
