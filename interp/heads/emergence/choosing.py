"""Which heads are traced: those significant at the last checkpoint, on documents of their own."""

from collections.abc import Sequence

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus
from interp.heads.ablation.matching import matched_groups
from interp.heads.ablation.replacing import named_heads
from interp.heads.columns import Head
from interp.heads.emergence.result import Chosen
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.events import plan_events
from interp.heads.relations.run import tallies
from interp.heads.relations.summary import column_name, head_scores, semantic_heads
from interp.heads.scores import HeadScores
from interp.results.errors import BadInput
from interp.results.provenance import Provenance


def choose(
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


def random_groups(
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
