"""Heads replaced while a model runs, against the same change of its weights."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.heads.ablation import head_interventions, head_means, heads_ablated
from interp.heads.ablation.replacing import named_heads
from interp.heads.columns import Head
from interp.interventions import intervened
from interp.models.load import load
from interp.results.errors import BadInput, Unsupported
from tests.heads.ablation.making import facts

TOKENS = torch.from_numpy(np.stack([s.tokens[:18] for s in facts(4).sequences]))
HEADS = ["L1H2", "L0H3", "L1H0"]


@pytest.fixture(scope="module", params=["gpt2", "llama", "neox"])
def bridge(request, model_directory):
    return load(model_directory(request.param), device="cpu")


def logits(bridge) -> Tensor:
    with torch.no_grad():
        return bridge(TOKENS)


@contextmanager
def without_output(bridge, heads: list[tuple[int, int]]):
    """The model with these heads' rows of W_O at 0: what zero ablation must be."""
    changed = []
    for layer, head in heads:
        weight = bridge.blocks[layer].attn.o.original_component.weight
        d_head = bridge.cfg.d_head
        rows = slice(head * d_head, (head + 1) * d_head)
        # GPT-2 stores [in, out], the others [out, in].
        part = weight[rows] if bridge.cfg.architecture == "GPT2LMHeadModel" else weight[:, rows]
        changed.append((part, part.detach().clone()))
    with torch.no_grad():
        for part, _ in changed:
            part.zero_()
    yield
    with torch.no_grad():
        for part, old in changed:
            part.copy_(old)


def test_zeroed_heads_are_the_model_without_their_output_weights(bridge) -> None:
    with without_output(bridge, [(1, 2), (0, 3), (1, 0)]):
        expected = logits(bridge)
    with heads_ablated(bridge, HEADS, "zero"):
        found = logits(bridge)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, logits(bridge), atol=1e-3)


def test_the_order_of_heads_is_nothing(bridge) -> None:
    means = head_means(bridge, facts(4).batches(2))
    found = []
    for heads in (HEADS, HEADS[::-1], [(1, 0), Head(0, 3), "L1H2"]):
        with heads_ablated(bridge, heads, "mean", means=means):
            found.append(logits(bridge))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_mean_that_is_the_heads_own_constant_output_changes_nothing(bridge) -> None:
    """Position 0 attends to itself alone: the mean over one such text is what it was."""
    one = facts(1)
    short = one.sequences[0]._replace(tokens=one.sequences[0].tokens[:1])
    batch = torch.from_numpy(short.tokens)[None]

    class Batch:
        tokens, attention_mask = batch.numpy(), np.ones((1, 1), bool)

    means = head_means(bridge, [Batch()])
    with torch.no_grad():
        plain = bridge(batch)
        with heads_ablated(bridge, ["L0H1", "L2H0"], "mean", means=means):
            torch.testing.assert_close(bridge(batch), plain)


def test_means_leave_out_padding_and_special_tokens(bridge) -> None:
    corpus = facts(6, bos=1)
    whole = head_means(bridge, corpus.batches(6), special_ids=(0, 1))
    cut = head_means(bridge, corpus.batches(1), special_ids=(0, 1))
    for layer, values in whole.items():
        torch.testing.assert_close(values, cut[layer], atol=1e-5, rtol=1e-4)
    with_bos = head_means(bridge, corpus.batches(6))
    assert not torch.allclose(whole[1], with_bos[1], atol=1e-4)


def test_resampled_heads_take_their_rows_together(bridge) -> None:
    """With one row to draw from, resampling is putting in that row."""
    means = head_means(bridge, facts(4).batches(4))
    rows = {layer: values[None] for layer, values in means.items()}
    with heads_ablated(bridge, HEADS, "resample", rows=rows):
        found = logits(bridge)
    with heads_ablated(bridge, HEADS, "mean", means=means):
        torch.testing.assert_close(found, logits(bridge))


def test_only_the_marked_tokens_are_replaced(bridge) -> None:
    plain, where = logits(bridge), torch.zeros(TOKENS.shape, dtype=torch.bool)
    where[1, 5] = True
    with intervened(bridge, head_interventions(bridge, ["L1H1"], "zero", where=where)):
        found = logits(bridge)
    assert torch.equal(found[[0, 2, 3]], plain[[0, 2, 3]])
    assert torch.equal(found[1, :5], plain[1, :5])
    assert not torch.allclose(found[1, 5], plain[1, 5], atol=1e-4)


def test_unknown_and_misnamed_heads_are_refused_in_one_line(bridge) -> None:
    with pytest.raises(BadInput, match="no head L9H9: this model has L0H0 to L2H3"):
        named_heads(bridge, ["L0H0", "L9H9"])
    with pytest.raises(BadInput, match="'1.2' is no head: write L1H2"):
        named_heads(bridge, ["1.2"])
    with pytest.raises(BadInput, match="L0H1 named twice"):
        named_heads(bridge, ["L0H1", (0, 1)])
    with pytest.raises(BadInput, match="at least one, such as L1H2"):
        named_heads(bridge, [])
    with pytest.raises(BadInput, match="mode 'knockout': one of mean, resample, zero"):
        head_interventions(bridge, ["L0H1"], "knockout")
    with pytest.raises(BadInput, match="mode 'mean' needs means="):
        head_interventions(bridge, ["L0H1"], "mean")


def test_a_model_without_heads_is_refused_by_name(bridge, monkeypatch) -> None:
    monkeypatch.setattr(bridge.cfg, "n_layers", 4)
    with pytest.raises(Unsupported, match=r"has no blocks\.3\.attn\.hook_z"):
        head_interventions(bridge, ["L0H1"], "zero")
