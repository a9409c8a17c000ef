"""The literal copying of 2212.09095 against its loops, on a model's own modules."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from interp.heads.attention import HeadGeometry
from interp.heads.tokens import regular_tokens, repeated_tokens
from interp.heads.writing.embedded import attended_most, embedded_copying
from interp.models.load import load


def test_every_layer_reads_the_embeddings_as_the_paper_loops_over_them(
    model_directory: Callable[[str], Path],
) -> None:
    bridge = load(model_directory("gpt2"), device="cpu")
    g = HeadGeometry.of(bridge)
    tokens = repeated_tokens(regular_tokens(bridge), sequences=2, length=14, seed=0)
    batch = next(tokens.batches(2))
    ours = embedded_copying(g, batch, controls=2, seed=0)
    layer, head, row = 2, 1, 1
    stop = 1 + int(tokens.period[row])
    ids = torch.from_numpy(batch.tokens[row, :stop])
    model: Any = load(model_directory("gpt2"), device="cpu").original_model
    with torch.no_grad():
        block = model.transformer.h[layer]
        x = block.ln_1(model.transformer.wte(ids) + model.transformer.wpe(torch.arange(stop)))
        q, k, v = block.attn.c_attn(x).reshape(stop, 3, g.n_heads, g.d_head)[:, :, head].unbind(1)
        scores = (q @ k.T / g.d_head**0.5).masked_fill(~torch.ones(stop, stop).tril().bool(), -1e9)
        written = v @ block.attn.c_proj.weight[head * g.d_head : (head + 1) * g.d_head]
        p = model.lm_head(written + block.attn.c_proj.bias).softmax(-1)
    shares = []
    for j in range(1, stop):
        raised = (p[j, ids[: j + 1]] - p[j, ids[: j + 1]].mean()).clamp_min(0)
        shares.append(float(raised[scores[j, : j + 1].argmax()] / raised.sum()))
    assert ours[row, 0, layer, head] == pytest.approx(np.mean(shares), abs=1e-5)
    assert not any(point.has_hooks() for point in bridge.hook_dict.values())


def test_a_random_token_seen_has_one_share_in_as_many_as_are_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 6, 6, generator=generator)
    grid = torch.linspace(0, 0.9999, 6)[None] * torch.ones(6, 1)
    shares = attended_most(logits, torch.rand(2, 6, 6, generator=generator), grid)
    torch.testing.assert_close(shares[:, 1:, 5].mean(1), torch.full((2,), 1 / 6))
