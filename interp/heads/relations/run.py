"""Run: a model and a corpus with relations, to the tally and the scores of every head."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.distributed import current_ranks
from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.attention.batch import HeadBatch
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import read_layers
from interp.heads.documents import digests
from interp.heads.joining import joined
from interp.heads.loaded import hash_as_loaded
from interp.heads.relations.choices import RelationChoices, choices_of
from interp.heads.relations.events import EventPlan, plan_events
from interp.heads.relations.observer import RelationObserver
from interp.heads.relations.summary import head_scores
from interp.heads.relations.tally import RelationTally, merged
from interp.heads.scores import HeadScores
from interp.models.context import refuse_beyond_context
from interp.models.load import load
from interp.results.progress import progress
from interp.results.provenance import Provenance

Preset = str | RelationChoices


def score_relations(
    model: TransformerBridge | str | Path,
    source: RelationCorpus | str | Path,
    *,
    preset: Preset | Sequence[Preset] = "relation",
    match: str = "auto",
    null: str = "typed",
    draws: int = 10_000,
    seed: int = 0,
    batch_size: int = 8,
    command: str = "interp.heads.score_relations",
) -> HeadScores:
    """What every head raises when it attends to the head of a relation, one column a relation.

    Each score comes with the same statistic for control tails, p over all heads and relations
    (`p_adj`) and, in `extras`, rate, strength, their product and the share by plain copying; the
    coverage of the significant heads is in `notes`. Several presets share the forward passes, and
    each is a family of tests. Started with others, each process reads its part and all return the
    same. Raises Unsupported for models without patterns, or with folded norms where raw embeddings
    are read; BadInput where no triplet can be scored.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model)
    corpus = source if isinstance(source, RelationCorpus) else open_relations(source, bridge)
    presets = [preset] if isinstance(preset, str | RelationChoices) else preset
    plans = [
        plan_events(corpus, choices_of(one), match=match, null=null, seed=seed) for one in presets
    ]
    found = joined(
        [
            head_scores(
                tally,
                provenance=Provenance.collect(
                    command,
                    model_hash=hash_as_loaded(bridge),
                    corpus_hash=corpus.hash,
                    seed=seed,
                    settings={
                        "choices": tally.choices.to_json(),
                        "match": match,
                        "null": null,
                        "draws": draws,
                        "corpus": corpus.name,
                    },
                ),
                draws=draws,
                seed=seed,
            )
            for tally in tallies(bridge, corpus, plans, batch_size=batch_size)
        ]
    )
    return replace(found, documents={corpus.hash: digests(corpus)})


def tally_relations(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    *,
    preset: Preset = "relation",
    match: str = "auto",
    seed: int = 0,
    batch_size: int = 8,
) -> RelationTally:
    """The sums over events of which every statistic of a relation is made, in one pass."""
    plan = plan_events(corpus, choices_of(preset), match=match, seed=seed)
    return tallies(bridge, corpus, [plan], batch_size=batch_size)[0]


def tallies(
    bridge: TransformerBridge,
    corpus: RelationCorpus,
    plans: Sequence[EventPlan],
    *,
    batch_size: int = 8,
) -> list[RelationTally]:
    """The sums over the events of each plan, in shared forward passes; whole on every rank."""
    geometry = HeadGeometry.of(bridge)
    refuse_beyond_context(bridge, max(len(s.tokens) for s in corpus.sequences))
    ranks = current_ranks()
    mine = _read(bridge, geometry, corpus, [plan.part(ranks.rank, ranks.world) for plan in plans],
                 batch_size)  # fmt: skip
    shared = ranks.share(mine)
    return [
        merged([part for parts in shared if (part := parts[i]) is not None])
        for i in range(len(plans))
    ]


def _read(
    bridge: TransformerBridge,
    geometry: HeadGeometry,
    corpus: RelationCorpus,
    plans: Sequence[EventPlan],
    batch_size: int,
) -> list[RelationTally | None]:
    observers = [RelationObserver(plan, geometry) for plan in plans]
    numbers = sorted({s.number for plan in plans for s in plan.sequences})
    with progress("relations", total=len(numbers), unit="sequences") as advance:

        def counted() -> Iterator[HeadBatch]:
            for batch in relation_batches(corpus, batch_size, numbers=numbers):
                yield batch
                advance(batch.size)

        read_layers(bridge, counted(), observers, geometry=geometry)
    return [observer.tally() if observer.n_read else None for observer in observers]


def relation_batches(
    corpus: RelationCorpus, batch_size: int, *, numbers: list[int] | None = None
) -> Iterator[HeadBatch]:
    """Batches of a corpus (or of some of its sequences, by number), padded on the right."""
    chosen = list(range(len(corpus.sequences))) if numbers is None else numbers
    special = corpus.special_tokens
    pad = next((i for i in (special.pad_id, special.eos_id) if i is not None), 0)
    for start in range(0, len(chosen), batch_size):
        of = chosen[start : start + batch_size]
        rows = [np.asarray(corpus.sequences[i].tokens) for i in of]
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        tokens = np.full(mask.shape, pad, np.int64)
        tokens[mask] = np.concatenate(rows)
        bos = tokens == (-1 if special.bos_id is None else special.bos_id)
        yield HeadBatch(
            tokens=tokens,
            attention_mask=mask,
            is_query=mask & ~bos,
            sequence=np.array(of),
            detail=tuple(corpus.sequences[i] for i in of),
        )
