"""What heads write on repeated tokens: against a double loop, and for known heads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention import HeadGeometry, read_layers
from interp.heads.attention.batch import HeadBatch
from interp.heads.writing.repeated import (
    RepeatWrites,
    Sample,
    _Orders,
    copied_shares,
    target_logits,
)
from interp.heads.writing.shares import raised_shares
from tests.heads.making import tiny_bridge

PERIODS = (4, 5, 6)


def repeated(rows: slice = slice(None)) -> HeadBatch:
    rng = np.random.default_rng(1)
    tokens = np.ones((3, 13), np.int64)
    for row, period in zip(tokens, PERIODS, strict=True):
        row[1:] = np.resize(4 + rng.permutation(50)[:period], 12)
    is_query = np.ones(tokens.shape, bool)
    is_query[:, 0] = False
    return HeadBatch(
        tokens=tokens[rows],
        attention_mask=np.ones(tokens.shape, bool)[rows],
        is_query=is_query[rows],
        sequence=np.arange(3)[rows],
        period=np.array(PERIODS)[rows],
        start=1,
    )


def shifted(n: int) -> torch.Tensor:
    return torch.stack([torch.arange(n).roll(-shift) for shift in range(n)])


def read(bridge: TransformerBridge, *batches: HeadBatch) -> RepeatWrites:
    writes = RepeatWrites(controls=3, seed=0)
    read_layers(bridge, batches, [writes])
    return writes


@pytest.mark.parametrize("style", ["llama", "olmo2"])
def test_sums_over_positions_agree_with_a_double_loop(style: str, tmp_path: Path) -> None:
    bridge = tiny_bridge(style, tmp_path)
    writes, batch, g = read(bridge, repeated()), repeated(), HeadGeometry.of(bridge)
    layer, head, row = 1, 2, 1
    sites = [g.pattern_site(layer), g.z_site(layer), g.final_scale_site]
    sites += [site] if (site := g.output_scale_site(layer)) else []
    with torch.no_grad():
        _, cache = bridge.run_with_cache(torch.from_numpy(batch.tokens), names_filter=sites)
    out = cache[sites[1]][row, :, head] @ g.W_O(layer)[head] * g.output_gain(layer)
    unembed = g.gamma[:, None] * g.W_U
    sample = Sample.of(batch, row)
    logits = (out @ unembed)[:, torch.from_numpy(sample.tokens)]
    scale = cache[g.final_scale_site][row]
    scale = scale * cache[sites[3]][row] if len(sites) > 3 else scale
    n, shares, raised = PERIODS[row], [], []
    for j in range(1, 1 + n):
        attention = cache[sites[0]][row, head, j, 1 : 1 + n]
        q = (logits[j] - logits[j].mean()).clamp_min(0)
        shares.append(float((attention * q / q.sum()).sum() / attention.sum()))
    for j in range(1 + n, 13):
        after = (j - 1 + 1) % n
        raised.append(float((logits[j, after] - logits[j].mean()) / scale[j]))
    assert writes.copying[row, layer, head] == pytest.approx(np.mean(shares), abs=1e-5)
    assert writes.target_logit[row, 0, layer, head] == pytest.approx(np.mean(raised), abs=1e-5)


def test_batches_and_their_order_change_nothing(tmp_path: Path) -> None:
    bridge = tiny_bridge("gpt2", tmp_path)
    together = read(bridge, repeated())
    apart = read(bridge, repeated(slice(2, 3)), repeated(slice(0, 2)))
    order = [2, 0, 1]
    np.testing.assert_allclose(apart.copying, together.copying[order], atol=1e-5)
    np.testing.assert_allclose(apart.copied_by_block, together.copied_by_block, atol=1e-5)
    np.testing.assert_allclose(apart.target_logit, together.target_logit[order], atol=1e-5)


def test_a_second_observer_of_the_same_pass_costs_and_changes_nothing(tmp_path: Path) -> None:
    bridge = tiny_bridge("gpt2", tmp_path)
    once, twice = read(bridge, repeated()), RepeatWrites(controls=3, seed=0)
    read_layers(bridge, [repeated()], [twice, twice])
    np.testing.assert_array_equal(twice.copying, once.copying)


def test_a_head_that_raises_what_it_attends_to_copies_all_and_its_opposite_none() -> None:
    attention = torch.eye(5).roll(-1, dims=0)[None].repeat(3, 1, 1)
    logits = torch.stack([attention[0], -attention[0], torch.zeros(5, 5)])
    shares = copied_shares(logits, attention, shifted(5)[:2]).sum(-1)
    torch.testing.assert_close(shares[0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(shares[1], torch.tensor([0.0, 0.25]))
    assert shares[2].isnan().all()


def test_shares_are_of_what_is_raised_above_the_mean() -> None:
    shares = raised_shares(torch.tensor([[4.0, 3.0, 2.0, 1.0], [7.0, 7.0, 7.0, 7.0]]))
    torch.testing.assert_close(shares, torch.tensor([[0.75, 0.25, 0, 0], [0, 0, 0, 0]]))


def test_a_uniform_label_gives_a_share_of_one_in_n() -> None:
    generator = torch.Generator().manual_seed(0)
    attention = torch.softmax(torch.randn(2, 6, 6, generator=generator), dim=-1)
    logits = torch.randn(2, 6, 6, generator=generator)
    shares = copied_shares(logits, attention, shifted(6)).sum(-1)
    torch.testing.assert_close(shares.mean(-1), torch.full((2,), 1 / 6))


def test_targets_are_the_tokens_after_the_copy() -> None:
    logits = torch.eye(3).roll(1, dims=1)[None]  # query i writes token i + 1 of the sample
    targets = target_logits(torch.cat([logits, logits], dim=1), [0, 1])
    torch.testing.assert_close(targets[0], torch.tensor([[2 / 3, -1 / 3]]).repeat(6, 1))


def test_the_parts_of_all_blocks_sum_to_the_mean_over_sequences(tmp_path: Path) -> None:
    writes = read(tiny_bridge("gpt2", tmp_path), repeated())
    whole = writes.copied_by_block[:, 0].sum(axis=0)
    np.testing.assert_allclose(whole, writes.copying.mean(axis=0), atol=1e-5)
    assert (writes.copied_by_block.sum(axis=0) <= 1 + 1e-6).all()


def test_a_token_has_the_same_others_in_every_sequence_that_samples_them() -> None:
    orders = _Orders.of(50, 4, seed=0)
    one, two = np.arange(50)[::-1].copy(), np.random.default_rng(0).permutation(50)
    first, second = orders.others(one), orders.others(two)
    for label in range(5):
        assert dict(zip(one, one[first[label]], strict=True)) == dict(
            zip(two, two[second[label]], strict=True)
        )
    assert (first[0] == np.arange(50)).all() and (first[1:] != np.arange(50)).all()
