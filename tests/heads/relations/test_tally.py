from dataclasses import fields, replace

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.corpus.relations import RelationCorpus
from interp.heads.relations.choices import RelationChoices
from interp.heads.relations.events import plan_events
from interp.heads.relations.run import tallies
from interp.heads.relations.summary import head_scores
from interp.heads.relations.tally import RelationTally, merged
from interp.models.load import load
from interp.results.errors import Mismatch
from interp.results.provenance import Provenance
from tests.heads.relations.making import random_corpus

OFTEN = RelationChoices(gate="none")
PROVENANCE = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    from tests.models import tiny_model_directory

    return load(tiny_model_directory("gpt2", tmp_path_factory.mktemp("model"), n_layer=1))


@pytest.fixture(scope="module")
def corpus() -> RelationCorpus:
    return random_corpus(n=14, length=28, n_entities=8)


@pytest.fixture(scope="module")
def whole(bridge: TransformerBridge, corpus: RelationCorpus) -> RelationTally:
    return tallies(bridge, corpus, [plan_events(corpus, OFTEN)], batch_size=14)[0]


def _same(one: RelationTally, other: RelationTally) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray) and a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_two_processes_with_half_the_sequences_each_find_what_one_finds(
    bridge: TransformerBridge, corpus: RelationCorpus, whole: RelationTally
) -> None:
    plan = plan_events(corpus, OFTEN)
    parts = [tallies(bridge, corpus, [plan.part(i, 2)], batch_size=3)[0] for i in (0, 1)]
    together = merged(parts)
    _same(together, whole)
    _same(merged(parts[::-1]), whole)
    one, other = (head_scores(t, provenance=PROVENANCE, draws=99) for t in (whole, together))
    np.testing.assert_allclose(one.score, other.score, rtol=1e-4)
    np.testing.assert_allclose(one.p_adj, other.p_adj, atol=0.02)


def test_documents_in_another_order_give_the_same_scores(
    bridge: TransformerBridge, corpus: RelationCorpus, whole: RelationTally
) -> None:
    turned = replace(corpus, sequences=corpus.sequences[::-1])
    other = tallies(bridge, turned, [plan_events(turned, OFTEN)], batch_size=5)[0]
    np.testing.assert_allclose(other.label_share.sum(axis=0), whole.label_share.sum(axis=0),
                               rtol=1e-4, atol=1e-5)  # fmt: skip
    one, two = (head_scores(t, provenance=PROVENANCE, draws=99) for t in (whole, other))
    np.testing.assert_allclose(one.score, two.score, rtol=1e-4)
    np.testing.assert_allclose(one.extras["raise"], two.extras["raise"], rtol=1e-3, atol=1e-5)


def test_tallies_of_other_choices_do_not_merge(whole: RelationTally) -> None:
    with pytest.raises(Mismatch, match="other choices"):
        merged([whole, replace(whole, choices=RelationChoices())])


def test_sums_of_sequences_are_those_of_their_triplets(whole: RelationTally) -> None:
    sums = whole.sequence_sums()
    assert sums.n_opportunities.shape == (14, 1, 4, 2)
    for i, number in enumerate(sums.sequence):
        for relation in range(2):
            rows = (whole.sequence == number) & (whole.relation == relation)
            np.testing.assert_allclose(
                sums.sum_share[i, 0, :, relation], whole.share[rows].sum(axis=0)
            )
            assert (
                sums.n_opportunities[i, 0, :, relation] == whole.opportunities[rows].sum()
            ).all()


def test_a_random_model_gives_no_relation_to_any_head_more_often_than_it_may(
    bridge: TransformerBridge,
) -> None:
    found = []
    for seed in range(8):
        drawn = random_corpus(n=14, length=28, n_entities=8, seed=seed)
        tally = tallies(bridge, drawn, [plan_events(drawn, OFTEN)], batch_size=14)[0]
        scores = head_scores(tally, provenance=PROVENANCE, draws=199)
        assert scores.tested("relation.r").all()
        found.append(scores)
    p = np.array([scores.p for scores in found])
    assert p.min() >= 1 / 200
    assert 0.3 < p.mean() < 0.7
    assert sum((scores.p_adj < 0.05).any() for scores in found) <= 2


def test_rate_strength_and_their_product_are_means_over_sequences(
    bridge: TransformerBridge, corpus: RelationCorpus
) -> None:
    choices = RelationChoices(gate="mass", alpha=0.1)
    tally = tallies(bridge, corpus, [plan_events(corpus, choices)])[0]
    scores = head_scores(tally, provenance=PROVENANCE, draws=99)
    for head in range(4):
        by_sequence: dict[str, list[float]] = {"rate": [], "strength": [], "per_opportunity": []}
        for number in np.unique(tally.sequence):
            rows = np.flatnonzero((tally.sequence == number) & (tally.relation == 0))
            n, w = tally.opportunities[rows], tally.weight[rows, head]
            with np.errstate(invalid="ignore"):
                strengths = tally.share[rows, head] / w
            for name, values in (
                ("rate", tally.n_gated[rows, head] / n),
                ("strength", strengths[w > 0]),
                ("per_opportunity", tally.share[rows, head] / n),
            ):
                if len(values):
                    by_sequence[name].append(float(values.mean()))
        for name, values in by_sequence.items():
            assert scores.array(name, "relation.r")[0, head] == pytest.approx(np.mean(values))
