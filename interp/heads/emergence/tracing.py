"""What one checkpoint adds to the curves: chosen heads, answers, and answers without the heads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations.corpus import RelationCorpus
from interp.heads.ablation.asking import asked_batches, margins, place_logits
from interp.heads.ablation.events import Events, asked_events
from interp.heads.ablation.replacing import head_means, heads_ablated
from interp.heads.columns import Head
from interp.heads.emergence.curve import Curve
from interp.heads.relations.statistics import sequence_means
from interp.heads.relations.tally import RelationTally

STATISTICS = ("rate", "strength", "per_opportunity")
ANSWERS, MARGIN = "answers", "margin"
SAMPLE = "documents"


class Sums(NamedTuple):
    """By document: what a statistic at one checkpoint is the ratio of."""

    part: Float64[np.ndarray, " documents"]
    whole: Float64[np.ndarray, " documents"]


def curve_of(name: str, at_steps: Sequence[Sums]) -> Curve:
    """One checkpoint's sums after the other. All such curves are over the same documents."""
    return Curve(
        name=name,
        sample=SAMPLE,
        part=np.stack([sums.part for sums in at_steps]),
        whole=np.stack([sums.whole for sums in at_steps]),
    )


def documents_of(corpus: RelationCorpus) -> Int[np.ndarray, " documents"]:
    """The documents of a corpus, which is what was sampled."""
    return np.unique([sequence.document for sequence in corpus.sequences])


def head_sums(
    tally: RelationTally,
    relation: int,
    heads: Sequence[Head],
    statistic: str,
    documents: Int[np.ndarray, " documents"],
) -> Sums:
    """A statistic of some heads together: their sums added, one head's where it is one."""
    rows = np.flatnonzero(tally.of_relation(relation))
    columns = [head.layer * tally.n_heads + head.head for head in heads]
    part, whole = _parts(tally, rows, statistic)
    means = sequence_means(
        part[:, columns],
        whole[:, columns],
        tally.sequence[rows],
        tally.document[rows],
        tally.choices.weight,
    )
    place = np.searchsorted(documents, np.unique(tally.document[rows]))
    found = Sums(np.zeros(len(documents)), np.zeros(len(documents)))
    found.part[place], found.whole[place] = means.part.sum(axis=1), means.whole.sum(axis=1)
    return found


def _parts(
    tally: RelationTally, rows: Int[np.ndarray, " rows"], statistic: str
) -> tuple[Float[np.ndarray, "rows heads"], Float[np.ndarray, "rows heads"]]:
    every = np.broadcast_to(tally.opportunities[rows][:, None] * 1.0, tally.share[rows].shape)
    if statistic == "rate":
        return tally.n_gated[rows], every
    if statistic == "strength":
        return tally.share[rows], tally.weight[rows]
    return tally.share[rows], every - tally.n_undefined[rows]


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Where each relation's tail is asked in a corpus; the same for every checkpoint."""

    corpus: RelationCorpus
    by_relation: tuple[Events, ...]
    documents: Int[np.ndarray, " documents"]
    levels: tuple[str, ...]
    """`answers` where a question is asked, and `margin` always."""

    @classmethod
    def of(cls, corpus: RelationCorpus, *, per_triplet: int, seed: int) -> "Questions":
        """Answers count only if every triplet says where its tail is asked."""
        events = asked_events(corpus, per_triplet=per_triplet, seed=seed)
        asked = all(triplet.at for sequence in corpus.sequences for triplet in sequence.triplets)
        return cls(
            corpus=corpus,
            by_relation=tuple(
                events.only(events.relation == r) for r in range(len(corpus.relations))
            ),
            documents=documents_of(corpus),
            levels=(ANSWERS, MARGIN) if asked else (MARGIN,),
        )


@torch.no_grad()
def answers(
    bridge: TransformerBridge, questions: Questions, relation: int, *, batch_size: int
) -> dict[str, Sums]:
    """How the model answers the questions of one relation, as it is now: hooks take part.

    `answers`: share at which the likeliest token is the tail's first. `margin`: the tail's logit
    above the mean of other entities of its type, in nats.
    """
    events = questions.by_relation[relation]
    right, margin = np.zeros(len(events)), np.full(len(events), np.nan)
    device = next(bridge.original_model.parameters()).device
    for batch in asked_batches(questions.corpus, events, batch_size=batch_size, device=device):
        logits = place_logits(bridge, batch)
        right[batch.events] = (logits.argmax(-1)[batch.which] == batch.tail).cpu().numpy()
        margin[batch.events] = margins(logits, batch).double().cpu().numpy()
    found = {MARGIN: _by_document(questions, events, margin, np.isfinite(margin))}
    if ANSWERS in questions.levels:
        every = np.ones(len(events), dtype=bool)
        found[ANSWERS] = _by_document(questions, events, right, every)
    return found


def _by_document(
    questions: Questions,
    events: Events,
    values: Float64[np.ndarray, " events"],
    known: Bool[np.ndarray, " events"],
) -> Sums:
    """Mean over the events of a triplet, its sequence's triplets, the document's sequences."""
    events, values = events.only(known), values[known]
    found = Sums(np.zeros(len(questions.documents)), np.zeros(len(questions.documents)))
    if not len(events):
        return found
    numbers = np.array([sequence.document for sequence in questions.corpus.sequences])
    place = np.searchsorted(questions.documents, numbers[events.sequence])
    np.add.at(found.part, place, values * events.relation_weight)
    np.add.at(found.whole, place, events.relation_weight)
    return found


Ablated = Callable[[Iterable[Head], int], dict[str, Sums]]


def without_heads(
    bridge: TransformerBridge, choosing: RelationCorpus, questions: Questions, *, batch_size: int
) -> Ablated:
    """A function that answers a relation's questions with heads held at their mean output.

    The means are this checkpoint's own, over the half on which the heads were chosen.
    """
    special = choosing.special_tokens
    left_out = sorted({*special.special_ids, special.bos_id} - {None})
    means = head_means(bridge, choosing.batches(batch_size), special_ids=left_out)

    def asked(heads: Iterable[Head], relation: int) -> dict[str, Sums]:
        with heads_ablated(bridge, heads, "mean", means=means):
            return answers(bridge, questions, relation, batch_size=batch_size)

    return asked
