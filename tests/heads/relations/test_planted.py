"""One head whose OV circuit is e_A x e_B, put together by hand, and what must not matter to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

from interp.corpus.relations import Entity, RelatedSequence, RelationCorpus, Triplet
from interp.heads.relations.choices import PRESETS
from interp.heads.relations.events import plan_events
from interp.heads.relations.run import score_relations, tallies, tally_relations
from interp.models.load import load

V = 16
A, B, C, D = 4, 5, 6, 7


def one_head(*, write: float = 1.0) -> TransformerBridge:
    """One layer, one head, one-hot tokens: it attends to A from everywhere and writes B there."""
    config = GPT2Config(
        vocab_size=V, n_embd=V, n_layer=1, n_head=1, n_positions=32, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln" not in name:
                parameter.zero_()
        model.transformer.wte.weight.copy_(torch.eye(V))
        model.lm_head.weight.copy_(torch.eye(V))
        attn = model.transformer.h[0].attn
        attn.c_attn.bias[0] = 50.0  # pyright: ignore
        attn.c_attn.weight[A, V] = 1.0  # pyright: ignore
        attn.c_attn.weight[A, 2 * V] = 1.0  # pyright: ignore
        attn.c_proj.weight[0, B] = write  # pyright: ignore
    return load(model)


def told(n: int = 12, *, last: int = 12) -> RelationCorpus:
    """`B C D` in any order, then A, then fillers and `last`; (A, r, B) with C and D beside B."""
    sequences = []
    for document in range(n):
        rng = np.random.default_rng(document)
        tails = rng.permutation([B, C, D])
        fillers = rng.integers(8, 12, 4)
        tokens = np.array([1, *tails, fillers[0], A, *fillers[1:], last])
        entities = (
            Entity("head", "thing", ((5, 6), (9, 10)) if last == A else ((5, 6),)),
            *(Entity(str(t), "tail", ((i + 1, i + 2),)) for i, t in enumerate(tails)),
        )
        tail = 1 + int(np.flatnonzero(tails == B)[0])
        triplet = Triplet(0, 0, tail)
        sequences.append(RelatedSequence(tokens, entities, (triplet,), document))
    return RelationCorpus.from_sequences(sequences, relations=["r"])


@pytest.mark.parametrize("preset", ["relation", "relation_static"])
def test_a_head_that_writes_b_from_a_gives_all_that_it_raises_to_b(preset: str) -> None:
    scores = score_relations(one_head(), told(), preset=preset, draws=99)
    column = f"{preset}.r"
    assert scores.array("score", column)[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert scores.array("null_mean", column)[0, 0] == pytest.approx(1 / 3, abs=1e-5)
    assert scores.array("rate", column)[0, 0] == pytest.approx(1.0)
    assert scores.array("raise", column)[0, 0] > 0
    assert scores.array("n_events", column)[0, 0] == 12 * 4


def test_the_printed_formula_sees_it_only_where_the_current_token_is_a() -> None:
    other = tally_relations(one_head(), told(last=12), preset="ren2024")
    at_a = other.opportunities.sum() / 5
    assert other.weight.sum() == at_a == 12
    np.testing.assert_allclose(other.share, other.weight)
    assert other.n_undefined.sum() == other.n_gated.sum() - at_a > 0
    again = tally_relations(one_head(), told(last=A), preset="ren2024")
    assert again.weight.sum() == 2 * at_a
    np.testing.assert_allclose(again.share, again.weight)


def test_the_heads_listed_are_those_that_the_coverage_is_of() -> None:
    found = score_relations(one_head(), told(), preset=["relation", "ren2024"], draws=99)
    for column in found.columns:
        assert column.above_zero == "raise_low"
        assert len(found.significant(column.name)) == found.notes[column.name]["n_significant"]


def test_a_head_that_writes_nothing_is_undefined_and_not_tested() -> None:
    scores = score_relations(one_head(write=0.0), told(), draws=99)
    for array in ("score", "p_adj", "strength"):
        assert np.isnan(scores.array(array, "relation.r")).all()
    assert scores.array("n_undefined", "relation.r") == scores.array("n_gated", "relation.r") > 0
    assert scores.notes["relation.r"]["n_untested"] == 1


def test_the_scale_of_a_write_changes_the_raise_and_no_share() -> None:
    corpus = told()
    one, three = (tally_relations(one_head(write=w), corpus) for w in (1.0, 3.0))
    np.testing.assert_allclose(one.share, three.share, rtol=1e-5)
    assert (three.raised > one.raised).all()
    turned = tally_relations(one_head(write=-1.0), corpus)
    assert turned.share.sum() == 0 and (turned.raised < 0).all()


def test_few_events_or_sequences_are_not_tested_and_counted() -> None:
    scores = score_relations(one_head(), told(9), draws=99)
    assert np.isnan(scores.array("score", "relation.r")).all()
    assert scores.notes["relation.r"]["n_untested"] == 1
    assert scores.array("strength", "relation.r")[0, 0] == pytest.approx(1.0, abs=1e-5)


def test_the_printed_formula_does_not_look_at_the_order_of_the_context() -> None:
    always = replace(PRESETS["ren2024"], gate="none")
    corpus = told()
    asked = [
        s._replace(triplets=tuple(t._replace(at=(9,)) for t in s.triplets))
        for s in corpus.sequences
    ]
    bridge = load(_random_model())
    found = {}
    for name, sequences in (("told", asked), ("turned", [_turned(s) for s in asked])):
        of = RelationCorpus.from_sequences(sequences, relations=["r"])
        for choices in (always, replace(PRESETS["relation"], gate="none")):
            tally = tallies(bridge, of, [plan_events(of, choices)])[0]
            found[name, choices.name] = tally.share / tally.weight
    np.testing.assert_allclose(
        found["told", "ren2024"], found["turned", "ren2024"], rtol=1e-4, atol=1e-6
    )
    assert np.abs(found["told", "relation"] - found["turned", "relation"]).max() > 1e-3


def _random_model(seed: int = 0) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=V, n_embd=16, n_layer=2, n_head=2, n_positions=32, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def _turned(sequence: RelatedSequence) -> RelatedSequence:
    """The same tokens before the last, the other way round."""
    tokens = sequence.tokens.copy()
    tokens[1:-1] = tokens[1:-1][::-1]
    end = len(tokens) - 1
    entities = tuple(
        e._replace(mentions=tuple((end + 1 - b, end + 1 - a) for a, b in e.mentions))
        for e in sequence.entities
    )
    return sequence._replace(tokens=tokens, entities=entities)


def test_tokens_that_come_later_change_nothing() -> None:
    bridge = load(_random_model())
    short = told()
    asked = [
        s._replace(triplets=tuple(t._replace(at=(7, 9)) for t in s.triplets))
        for s in short.sequences
    ]
    longer = [s._replace(tokens=np.append(s.tokens, [B, 9, A, 10])) for s in asked]
    one, other = (
        tally_relations(bridge, RelationCorpus.from_sequences(s, relations=["r"]))
        for s in (asked, longer)
    )
    np.testing.assert_array_equal(one.n_gated, other.n_gated)
    np.testing.assert_allclose(one.label_share, other.label_share, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.raised, other.raised, rtol=1e-4, atol=1e-5)


def test_renaming_tokens_and_a_constant_in_every_unembedding_change_nothing() -> None:
    corpus = told()
    names = np.random.default_rng(0).permutation(V)
    renamed = RelationCorpus.from_sequences(
        [s._replace(tokens=names[s.tokens]) for s in corpus.sequences], relations=["r"]
    )
    model = _random_model()
    back = torch.from_numpy(np.argsort(names))
    with torch.no_grad():
        model.transformer.wte.weight.copy_(model.transformer.wte.weight[back].clone())
        model.lm_head.weight.copy_(model.lm_head.weight[back].clone() + torch.arange(16.0) / 8)
    one, other = (
        tally_relations(load(_random_model()), corpus),
        tally_relations(load(model), renamed),
    )
    np.testing.assert_array_equal(one.n_gated, other.n_gated)
    for name in ("share", "raised", "copying"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-4)
