"""Choosing heads on one half of the documents, and ablating them on the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus, open_relations
from interp.heads.ablation.ablating import ablate_heads
from interp.heads.ablation.matching import found_heads, united
from interp.heads.ablation.result import AblationResult
from interp.heads.columns import Head
from interp.heads.relations import score_relations
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.errors import BadInput

OTHER_HALF = "the other half of the documents"
SAME = "these same documents, which favours the chosen heads"
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

    `scores` made before must be of the first half, `relations.halves(seed)[0]`, or of another text
    altogether; scores of the whole corpus, or of its second half, are refused (BadInput) unless
    `same_documents`, and the result says so. All found heads are one group; `by_relation` adds one
    for each relation. `settings` go to `ablate_heads`. Raises BadInput where no head is found.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    whole = (
        relations if isinstance(relations, RelationCorpus) else open_relations(relations, bridge)
    )
    if scores is None:
        first, corpus = whole.halves(seed)
        made = score_relations(bridge, first, preset=preset, draws=score_draws, seed=seed)
        chosen_on = OTHER_HALF
    else:
        made = scores
        corpus, chosen_on = unseen(made, whole, seed=seed, same_documents=same_documents)
    heads = found_heads(made, detector=preset, alpha=alpha, top=top)
    result = ablate_heads(
        bridge,
        as_groups(heads, by_relation=by_relation),
        corpus,
        scores=made,
        detector=preset,
        chosen_on=chosen_on,
        seed=seed,
        **settings,
    )
    return Ablated(made, result)


def unseen(
    scores: HeadScores, whole: RelationCorpus, *, seed: int, same_documents: bool
) -> tuple[RelationCorpus, str]:
    """The part of a corpus on which heads chosen by `scores` may be ablated, and what it is."""
    seen = scores.provenance.corpus_hash
    halves = whole.halves(seed) if len({s.document for s in whole.sequences}) > 1 else ()
    if halves and seen == halves[0].hash:
        return halves[1], OTHER_HALF
    own = {whole.hash: whole, **{half.hash: half for half in halves}}
    if seen not in own:
        return whole, "another text, by its hash; whether they share documents is not known"
    if not same_documents:
        raise BadInput(
            "the scores were made on these very documents, on which chance favours the heads it "
            f"chose: score one half (`interp heads relations --half first --seed {seed}`) and "
            "ablate on the other, or allow it (--same-documents)"
        )
    return own[seen], SAME


def as_groups(
    heads: Mapping[str, tuple[Head, ...]], *, by_relation: bool
) -> dict[str, tuple[Head, ...]]:
    """All heads as the group `found`, and each relation's as one of its own if asked for."""
    every = {FOUND: united(heads.values())}
    return {**every, **heads} if by_relation else every
