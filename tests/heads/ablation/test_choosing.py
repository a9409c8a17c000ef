"""Heads chosen on one half of the documents and ablated on the other, on a model of known heads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.heads.ablation import ablate_found, heads_ablated, loss_reduction, score_against_effect
from interp.heads.ablation.choosing import OTHER_HALF, SAME, Ablated, unseen
from interp.heads.columns import Head
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
    def made_on(corpus) -> HeadScores:
        made = replace(found.scores.provenance, corpus_hash=corpus.hash)
        return replace(found.scores, provenance=made)

    first, second = CORPUS.halves(0)
    part, said = unseen(made_on(first), CORPUS, seed=0, same_documents=False)
    assert (part.hash, said) == (second.hash, OTHER_HALF)
    for corpus in (CORPUS, second):
        with pytest.raises(BadInput, match="chance favours the heads it chose"):
            unseen(made_on(corpus), CORPUS, seed=0, same_documents=False)
        part, said = unseen(made_on(corpus), CORPUS, seed=0, same_documents=True)
        assert (part.hash, said) == (corpus.hash, SAME)
    other = relation_corpus("binding", n=5, seed=9)
    part, said = unseen(made_on(other), CORPUS, seed=0, same_documents=False)
    assert part.hash == CORPUS.hash
    assert "another text" in said


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
