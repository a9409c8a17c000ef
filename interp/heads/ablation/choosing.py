"""Choosing heads on one half of the documents, and ablating them on the other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.ablation.ablating import ablate_heads
from interp.heads.ablation.matching import found_heads, united
from interp.heads.ablation.result import AblationResult
from interp.heads.ablation.seen import chosen_on, fed_to
from interp.heads.columns import Head
from interp.heads.documents import digests, documents_among
from interp.heads.relations import score_relations
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.errors import BadInput

OTHER_HALF = "the other half of the documents"
FOUND = "found"


class Ablated(NamedTuple):
    """Scores on the half where heads were chosen, and what those heads do on the other."""

    scores: HeadScores
    result: AblationResult


def ablate_found(
    model: TransformerBridge | str | Path,
    relations: RelationCorpus | str | Path,
    *,
    scores: HeadScores | None = None,
    preset: str = "relation",
    alpha: float = 0.05,
    top: int | None = None,
    by_relation: bool = False,
    score_draws: int = 10_000,
    same_documents: bool = False,
    seed: int = 0,
    device: str = "cpu",
    **settings: Any,
) -> Ablated:
    """Heads that `preset` finds on a random half of the documents, ablated on the other half.

    `scores` made before must be of the first half, `relations.halves(seed)[0]`, or of other
    documents altogether; scores that read any of those to be ablated on are refused (BadInput)
    unless `same_documents`, and the result says so. All found heads are one group; `by_relation`
    adds one for each relation. `settings` go to `ablate_heads`. Raises BadInput where no head is
    found.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    whole = (
        relations if isinstance(relations, RelationCorpus) else open_relations(relations, bridge)
    )
    if scores is None:
        first, second = whole.halves(seed)
        corpus, said = other_half(first, second)
        made = score_relations(bridge, first, preset=preset, draws=score_draws, seed=seed)
    else:
        made = scores
        corpus, said = unseen(
            made, whole, detector=preset, seed=seed, same_documents=same_documents
        )
    heads = found_heads(made, detector=preset, alpha=alpha, top=top)
    result = ablate_heads(
        bridge,
        as_groups(heads, by_relation=by_relation),
        corpus,
        scores=made,
        detector=preset,
        chosen_on=said,
        seed=seed,
        **settings,
    )
    return Ablated(made, result)


def unseen(
    scores: HeadScores, whole: RelationCorpus, *, detector: str, seed: int, same_documents: bool
) -> tuple[RelationCorpus, str]:
    """The part of a corpus on which heads chosen by `scores` may be ablated, and what it is."""
    fed = fed_to(scores, detector)
    halves = whole.halves(seed) if len({s.document for s in whole.sequences}) > 1 else ()
    if halves and fed == {halves[0].hash}:
        return other_half(*halves)
    own = {half.hash: half for half in halves}
    part = next((half for key, half in own.items() if fed == {key}), whole)
    said = chosen_on(scores, part, asked=part, detector=detector, same=same_documents)
    return part, said


def other_half(first: RelationCorpus, second: RelationCorpus) -> tuple[RelationCorpus, str]:
    """The second half without documents that the first holds too, word for word."""
    again = documents_among(second, digests(first))
    if not again:
        return second, OTHER_HALF
    left = tuple(s for s in second.sequences if s.document not in again)
    if not left:
        raise BadInput(
            f"{second.name}: all of its {len(again)} documents stand in the other half too, word "
            "for word: there is none to ablate on"
        )
    kept = f"{OTHER_HALF}, less {len(again)} that stand in both"
    return replace(second, sequences=left), kept


def as_groups(
    heads: Mapping[str, tuple[Head, ...]], *, by_relation: bool
) -> dict[str, tuple[Head, ...]]:
    """All heads as the group `found`, and each relation's as one of its own if asked for."""
    every = {FOUND: united(heads.values())}
    return {**every, **heads} if by_relation else every
