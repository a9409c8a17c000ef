"""What tokens are exchanged with in a null, and what is lowered most, against a sort."""

import numpy as np
import pytest
import torch

from interp.heads.weights.low_rank import among_lowest
from interp.heads.writing.blocks import exchanged, token_blocks
from interp.heads.writing.lowered import lowered_most


def test_a_token_is_exchanged_with_others_as_often_as_they_occur() -> None:
    counts = np.array([1, 5, 2, 2])
    asked = exchanged(counts, controls=20_000, rng=np.random.default_rng(0))
    assert asked[:, 0].tolist() == [0, 1, 2, 3]
    for own in range(4):
        share = np.bincount(asked[own, 1:], minlength=4) / 20_000
        others = np.where(np.arange(4) == own, 0, counts)
        np.testing.assert_allclose(share, others / others.sum(), atol=0.02)


def test_a_text_of_one_token_has_no_other() -> None:
    assert exchanged(np.array([7]), controls=3, rng=np.random.default_rng(0)).tolist() == [[0] * 4]


@pytest.mark.parametrize(("n_tokens", "n_blocks"), [(1000, 256), (20, 20)])
def test_blocks_are_equally_large(n_tokens: int, n_blocks: int) -> None:
    sizes = np.bincount(token_blocks(n_tokens, rng=np.random.default_rng(0)))
    assert len(sizes) == n_blocks and np.ptp(sizes) <= 1


def test_what_is_lowered_most_is_the_same_without_every_logit() -> None:
    generator = torch.Generator().manual_seed(0)
    written = torch.randn(300, 6, generator=generator)
    unembedding = torch.randn(6, 5000, generator=generator)
    order = (written @ unembedding).argsort(dim=-1)
    asked = torch.cat(
        [order[:, [0, 9, 10, 500]], torch.randint(0, 5000, (300, 4), generator=generator)], dim=-1
    )
    found = lowered_most(written, unembedding, asked, 10)
    assert torch.equal(found, among_lowest(written, unembedding, asked, 10))
    assert found[:, :2].all() and not found[:, 2:4].any()
