"""Heads chosen on one half of the documents and ablated on the other, on a model of known heads."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from interp.corpus.relations import RelationCorpus
from interp.heads.ablation import (
    ablate_found,
    ablate_heads,
    heads_ablated,
    loss_reduction,
    score_against_effect,
)
from interp.heads.ablation.choosing import OTHER_HALF, Ablated, other_half, unseen
from interp.heads.ablation.seen import OTHER, SAME, UNKNOWN
from interp.heads.columns import Head
from interp.heads.documents import digests
from interp.heads.score import score_heads
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.errors import BadInput
from probes.relations import relation_corpus

CORPUS = relation_corpus("binding", n=60, seed=5)


@pytest.fixture(scope="module")
def bridge():
    return load("relations/binding", device="cpu")


@pytest.fixture(scope="module")
def found(bridge) -> Ablated:
    return ablate_found(
        bridge, CORPUS, top=1, score_draws=500, modes=["mean"], where=["all"], bootstrap=200
    )


def test_the_found_head_costs_more_than_its_layer_mates(found: Ablated) -> None:
    """Layer 1 reads the facts: the best of it is held against the three others."""
    (head,) = found.result.groups["found"]
    assert head.layer == 1
    assert found.result.n_random("found") == 3
    assert found.result.value().low > 0.5
    assert found.result.over_random[0, 0, 0, 0, 0] > 0
    assert found.result.p_value() <= 1 / 2


def test_chosen_and_ablated_documents_are_the_two_halves(found: Ablated) -> None:
    first, second = CORPUS.halves(0)
    assert found.scores.provenance.corpus_hash == first.hash
    assert found.result.provenance.corpus_hash == second.hash
    assert found.result.chosen_on == OTHER_HALF


def test_facts_in_context_are_felt_through_the_tails_exchanged(found: Ablated) -> None:
    """Names exchanged in facts and questions alike leave every answer as it was."""
    result = found.result
    assert result.corruption == "tails"
    assert result.corruption_drop[0, 0, 0] > 5
    assert abs(result.corruption_drop[1, 0, 0]) < 1


def test_scores_of_the_ablated_documents_are_refused_unless_allowed(found: Ablated) -> None:
    asked: Any = {"detector": "relation", "seed": 0}
    first, second = CORPUS.halves(0)
    part, said = unseen(made_on(found, first), CORPUS, same_documents=False, **asked)
    assert (part.hash, said) == (second.hash, OTHER_HALF)
    for corpus, n in ((CORPUS, 60), (second, 30)):
        made = made_on(found, corpus)
        with pytest.raises(BadInput, match=f"made on {n} of these {n} documents, on which chance"):
            unseen(made, CORPUS, same_documents=False, **asked)
        part, said = unseen(made, CORPUS, same_documents=True, **asked)
        assert (part.hash, said) == (corpus.hash, SAME)
    other = made_on(found, relation_corpus("binding", n=5, seed=9))
    part, said = unseen(other, CORPUS, same_documents=False, **asked)
    assert (part.hash, said) == (CORPUS.hash, OTHER)
    part, said = unseen(replace(other, documents={}), CORPUS, same_documents=False, **asked)
    assert (part.hash, said) == (CORPUS.hash, UNKNOWN)


def test_documents_are_known_again_whatever_became_of_the_corpus(found: Ablated) -> None:
    """Another seed's half, relations turned round, some sequences only: it is the same text."""
    asked: Any = {"detector": "relation", "seed": 0, "same_documents": False}
    half = CORPUS.halves(1)[0]
    few = replace(CORPUS, sequences=CORPUS.sequences[7:20])
    for corpus, n in ((half, 30), (CORPUS.reversed(), 60), (few, 13)):
        with pytest.raises(BadInput, match=f"made on {n} of these 60 documents"):
            unseen(made_on(found, corpus), CORPUS, **asked)
    part, said = unseen(made_on(found, half), CORPUS, **{**asked, "same_documents": True})
    assert part.hash == CORPUS.hash
    assert said.startswith("30 of these 60 documents")


def test_scores_joined_with_others_and_a_cut_corpus_are_no_way_round(
    bridge, found: Ablated
) -> None:
    joined = score_heads(bridge, ["relation", "prefix_matching"], relations=CORPUS, draws=19,
                         sequences=4, length=24, bootstrap=10)  # fmt: skip
    whole = CORPUS.hash
    assert joined.provenance.corpus_hash != whole
    assert [c.corpus_hash == whole for c in joined.columns] == [True, False]
    with pytest.raises(BadInput, match="made on 60 of these 60 documents"):
        ablate_found(bridge, CORPUS, scores=joined)
    with pytest.raises(BadInput, match="made on 9 of these 9 documents"):
        ablate_heads(bridge, ["L1H1"], CORPUS, scores=made_on(found, CORPUS), sequences=9)


def test_a_document_that_stands_in_both_halves_is_not_ablated_on() -> None:
    first, second = CORPUS.halves(0)
    twice = replace(second, sequences=(*second.sequences[1:], first.sequences[0]._replace(
        document=second.sequences[0].document)))  # fmt: skip
    part, said = other_half(first, twice)
    assert part.sequences == second.sequences[1:]
    assert said == f"{OTHER_HALF}, less 1 that stand in both"
    with pytest.raises(BadInput, match="there is none to ablate on"):
        other_half(first, first)


def made_on(found: Ablated, corpus: RelationCorpus) -> HeadScores:
    """These scores, as if they had been made on another corpus."""
    columns = tuple(replace(c, corpus_hash=corpus.hash) for c in found.scores.columns)
    provenance = replace(found.scores.provenance, corpus_hash=corpus.hash)
    return replace(
        found.scores,
        columns=columns,
        provenance=provenance,
        documents={corpus.hash: digests(corpus)},
    )


def test_other_scores_can_be_set_against_the_same_effects(found: Ablated) -> None:
    again = score_against_effect(found.result, found.scores)
    np.testing.assert_array_equal(again, found.result.correlation)
    with pytest.raises(BadInput, match="no column of 'ren2024'"):
        score_against_effect(found.result, found.scores, detector="ren2024")


def test_loss_reduction_is_late_less_early_loss_and_feels_ablation(bridge) -> None:
    tokens = np.stack([s.tokens[:29] for s in CORPUS.sequences if len(s.tokens) >= 29][:8])
    measure = loss_reduction(tokens, window=(6, 14))
    with torch.no_grad():
        losses = -bridge(torch.from_numpy(tokens))[:, :-1].log_softmax(-1)
    own = losses.gather(2, torch.from_numpy(tokens)[:, 1:, None])[..., 0].numpy()
    plain = measure(bridge)
    np.testing.assert_allclose(plain, own[:, 14:20].mean(1) - own[:, :6].mean(1), atol=1e-4)
    with heads_ablated(bridge, [Head(1, h) for h in range(4)], "zero"):
        assert measure(bridge).mean() > plain.mean()
    with pytest.raises(BadInput, match="hold no such one"):
        loss_reduction(tokens, window=(10, 30))
