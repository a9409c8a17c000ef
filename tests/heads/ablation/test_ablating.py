"""Ablation of heads, from a model and a corpus: identities, planted heads, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from interp.heads.ablation import AblationResult, ablate_heads
from interp.heads.ablation.ablating import ELSEWHERE
from interp.heads.ablation.asking import ask, asked_batches, measured
from interp.heads.ablation.events import asked_events
from interp.heads.ablation.grouping import Ablator
from interp.heads.ablation.patching import Corrupted, attributed_drops, patched_margins
from interp.heads.ablation.standins import stand_ins
from interp.heads.columns import Head
from interp.models.load import load
from interp.results.errors import BadInput, Unsupported
from tests.heads.ablation.making import facts
from tests.models import tiny_model_directory

CORPUS = facts(8, asked=2, bos=1)
EVENTS = asked_events(CORPUS, per_triplet=1, seed=0)
QUICK: dict[str, Any] = {"draws": 2, "exact": 1, "bootstrap": 50, "batch_size": 8}


@pytest.fixture(scope="module")
def bridges(model_directory):
    return {s: load(model_directory(s), device="cpu") for s in ("gpt2", "llama", "neox")}


@pytest.fixture(scope="module", params=["gpt2", "llama", "neox"])
def bridge(request, bridges):
    return bridges[request.param]


def batches_of(size: int = 5):
    return asked_batches(CORPUS, EVENTS, batch_size=size, device=torch.device("cpu"))


def test_measures_are_those_of_the_whole_sequences_logits(bridge) -> None:
    found = ask(bridge, batches_of(), len(EVENTS), lambda _: [])
    for e in range(0, len(EVENTS), 4):
        sequence = CORPUS.sequences[EVENTS.sequence[e]]
        with torch.no_grad():
            logits = bridge(torch.from_numpy(sequence.tokens)[None])[0, EVENTS.position[e]].double()
        others = logits[EVENTS.controls[e]]
        margin = logits[EVENTS.tail[e]] - others.mean()
        loss = -logits.log_softmax(0)[EVENTS.target[e]]
        ahead = float(logits[EVENTS.tail[e]] > others.max())
        np.testing.assert_allclose(
            found[:, e], [margin.item(), loss.item(), ahead], atol=2e-5, rtol=1e-4
        )


def test_a_head_given_its_own_output_loses_nothing(bridge) -> None:
    batches = batches_of()
    same = Corrupted(
        side="tails", tokens=[b.tokens for b in batches], concerned=np.ones(len(EVENTS), bool)
    )
    plain = ask(bridge, batches, len(EVENTS), lambda _: [])[0]
    heads = [Head(0, 1), Head(2, 3)]
    again = patched_margins(bridge, batches, same, heads, lambda _: None)
    np.testing.assert_allclose(again, np.stack([plain, plain]), atol=1e-5)
    weights = [np.ones((1, len(b.events))) for b in batches]
    drops = attributed_drops(bridge, batches, same, weights, lambda _: None)
    assert not drops.any()


def test_the_cut_into_batches_changes_nothing(bridges) -> None:
    bridge, means = bridges["llama"], {}
    for size in (3, 8):
        batches = batches_of(size)
        held, base = stand_ins(bridge, CORPUS, batches, n_events=len(EVENTS), seed=0)
        ablator = Ablator(
            bridge=bridge, batches=batches, stand_ins=held, base=base, advance=lambda _: None
        )
        means[size] = [
            ablator.damage([Head(1, 2), Head(0, 0)], (mode, where))
            for mode in ("mean", "zero")
            for where in ("event", "all")
        ]
    np.testing.assert_allclose(means[3], means[8], atol=1e-5)


def test_resampling_takes_what_another_document_gave(bridges) -> None:
    bridge = bridges["gpt2"]
    batches = batches_of()
    held, _ = stand_ins(bridge, CORPUS, batches, n_events=len(EVENTS), seed=0)
    rows = held.rows["event"][0]
    assert len(rows) == len({*zip(EVENTS.sequence.tolist(), EVENTS.position.tolist(), strict=True)})
    owner = np.repeat(np.arange(8), np.bincount(EVENTS.sequence))
    for batch, donors in zip(batches, held.donors["event"], strict=True):
        assert (owner[donors.numpy()] != batch.sequences[:, None]).all()


def test_the_order_of_heads_and_groups_is_nothing(bridges) -> None:
    one, two = ["L1H2", "L0H1"], ["L2H0"]
    few: dict[str, Any] = {**QUICK, "modes": ["resample"]}
    first = ablate_heads(bridges["gpt2"], {"a": one, "b": two}, CORPUS, **few)
    second = ablate_heads(bridges["gpt2"], {"b": two, "a": one[::-1]}, CORPUS, **few)
    for condition in first.conditions:
        for group in ("a", "b"):
            names = {"group": group, "condition": condition}
            for what in ("effect", "random_mean", "over_random"):
                assert first.value(what, **names) == second.value(what, **names)
    np.testing.assert_array_equal(first.attributed, second.attributed)


def test_every_head_of_every_layer_is_held_against_nothing(bridges) -> None:
    every = [(layer, head) for layer in range(3) for head in range(4)]
    found = ablate_heads(bridges["gpt2"], every, CORPUS, modes=["zero"], where=["all"], **QUICK)
    assert found.n_random("heads") == 0
    assert np.isnan(found.p).all()
    assert np.isnan(found.random_mean).all()
    assert any("no other group" in s for s in found.statements)
    assert "none to compare" in str(found)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """One layer in which head 2 alone writes: the others' rows of W_O are 0, and the MLP's."""
    path = tiny_model_directory("gpt2", tmp_path_factory.mktemp("planted"), n_layer=1)
    bridge = load(path, device="cpu")
    attention, mlp = written_by(bridge)
    with torch.no_grad():
        attention.weight[:16], attention.weight[24:] = 0, 0
        mlp.weight.zero_()
    return bridge


def written_by(bridge):
    """Output projections of the attention and of the MLP."""
    block = bridge.blocks[0]
    return block.attn.o.original_component, block.mlp.out.original_component


def test_a_planted_heads_ablation_costs_what_it_gave(planted) -> None:
    """Without it the margin is that of the embeddings and biases alone."""
    found = ablate_heads(planted, ["L0H2"], CORPUS, modes=["zero"], where=["event"], **QUICK)
    model, drops = planted.original_model.transformer, []
    attention, mlp = written_by(planted)
    unembed, norm = planted.original_model.lm_head.weight, planted.ln_final.original_component
    for e in range(len(EVENTS)):
        j, tokens = EVENTS.position[e], CORPUS.sequences[EVENTS.sequence[e]].tokens
        with torch.no_grad():
            logits = planted(torch.from_numpy(tokens)[None])[0, j]
            alone = model.wte.weight[tokens[j]] + model.wpe.weight[j]
            alone = alone + attention.bias + mlp.bias
            without = unembed @ torch.nn.functional.layer_norm(alone, (32,), norm.weight, norm.bias)
        own, others = EVENTS.tail[e], EVENTS.controls[e]
        drops.append(
            (logits[own] - logits[others].mean() - without[own] + without[others].mean()).item()
        )
    expected = np.mean([np.mean(np.array(drops)[EVENTS.sequence == s]) for s in range(8)])
    assert abs(expected) > 0.01
    np.testing.assert_allclose(found.value().value, expected, atol=1e-5)


def test_heads_that_write_nothing_cost_nothing(planted) -> None:
    found = ablate_heads(planted, ["L0H0", "L0H3"], CORPUS, modes=["mean", "zero"], **QUICK)
    np.testing.assert_allclose(found.effect, 0, atol=1e-6)
    silent = [0, 1, 3]
    np.testing.assert_allclose(found.attributed[0, silent, 0], 0, atol=1e-6)
    assert abs(found.attributed[0, 2, 0, 0]) > 1e-4


@pytest.fixture(scope="module")
def result(bridges) -> AblationResult:
    return ablate_heads(
        bridges["llama"],
        {"two": ["L1H2", "L0H1"], "one": ["L2H0"]},
        CORPUS,
        measures={"share <b>": lambda bridge: shares(bridge)},
        **QUICK,
    )


def shares(bridge) -> np.ndarray:
    batch = batches_of(8)[0]
    with torch.no_grad():
        logits = bridge(batch.tokens).flatten(0, 1)[batch.place].float()
    return measured(logits, batch)[0].numpy()


def test_other_measures_are_read_with_the_groups_ablated(result: AblationResult, bridges) -> None:
    plain = shares(bridges["llama"])
    np.testing.assert_allclose(result.other_base[0, 0], plain.mean(), rtol=1e-6)
    assert result.other_effect.shape == (2, 2, 1, 3)
    assert not np.isnan(result.other_effect).any()
    assert (result.other_random[0, :, :2] != 0).all()
    assert (result.other_p[0] >= 1 / 3).all()
    assert ELSEWHERE in str(result)


def test_the_finding_opens_as_it_was_saved(result: AblationResult, tmp_path) -> None:
    result.save(tmp_path / "found")
    again = AblationResult.load(tmp_path / "found")
    assert str(again) == str(result)
    assert again.random_heads == result.random_heads
    np.testing.assert_array_equal(again.random, result.random)
    assert again.to_json() == result.to_json()


def test_pages_escape_what_a_measure_is_called(result: AblationResult) -> None:
    assert "share <b>" in str(result)
    assert "<b>" not in result._repr_html_()
    assert "share &lt;b&gt;" in result._repr_html_()


def test_one_number_can_be_asked_by_name(result: AblationResult) -> None:
    found = result.value(group="one", condition=("resample", "all"), measure="loss", relation="r1")
    assert found.value == result.effect[1, 3, 1, 2, 0]
    assert result.apart() == pytest.approx(
        result.effect[0, 0, 0, 0, 1] - result.random_mean[0, 0, 0, 0, 2]
    )
    with pytest.raises(BadInput, match="no relation 'r9': there are all, r0, r1"):
        result.value(relation="r9")


def test_processes_started_together_are_refused(bridges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Unsupported, match="ablating heads runs in one process"):
        ablate_heads(bridges["gpt2"], ["L0H0"], CORPUS)


def test_what_cannot_be_asked_is_refused_before_any_work(bridges) -> None:
    bridge = bridges["gpt2"]
    with pytest.raises(BadInput, match="no head L7H0: this model has L0H0 to L2H3"):
        ablate_heads(bridge, ["L7H0"], CORPUS)
    with pytest.raises(BadInput, match="mode swap: choose of mean, resample, zero"):
        ablate_heads(bridge, ["L0H0"], CORPUS, modes=["swap"])
    with pytest.raises(BadInput, match="where nowhere: choose of event, all"):
        ablate_heads(bridge, ["L0H0"], CORPUS, where=["nowhere"])
    long = CORPUS.sequences[0]._replace(tokens=np.full(65, 5))
    with pytest.raises(BadInput, match="65 tokens do not fit the model's context of 64"):
        ablate_heads(bridge, ["L0H0"], replace(CORPUS, sequences=(long,)))
    empty = tuple(s._replace(triplets=()) for s in CORPUS.sequences)
    with pytest.raises(BadInput, match="asks for no tail .*it has no triplet"):
        ablate_heads(bridge, ["L0H0"], replace(CORPUS, sequences=empty))
