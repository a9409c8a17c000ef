"""The sources that heads attend to on a text, against a loop, and whatever the batches."""

from collections import Counter

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention import HeadGeometry, read_layers
from interp.heads.attention.batch import HeadBatch
from interp.heads.writing.sources import AttendedSources
from tests.heads.making import random_batch, tiny_bridge


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    return tiny_bridge("llama", tmp_path_factory.mktemp("sources"))


def with_bos(batch: HeadBatch) -> HeadBatch:
    batch.is_query[:, 0] = False
    return batch


def read(bridge: TransformerBridge, *batches: HeadBatch) -> AttendedSources:
    sources = AttendedSources(seed=0)
    read_layers(bridge, batches, [sources])
    return sources


def rows(batch: HeadBatch, at: list[int], *, left: bool = False) -> HeadBatch:
    """Some sequences alone; `left` moves their padding to the front."""
    tokens, mask, query = (a[at] for a in (batch.tokens, batch.attention_mask, batch.is_query))
    if left:
        n_padding = (~mask).sum(axis=1)
        tokens, mask, query = (
            np.stack([np.roll(row, n) for row, n in zip(array, n_padding, strict=True)])
            for array in (tokens, mask, query)
        )
    return HeadBatch(
        tokens=tokens, attention_mask=mask, is_query=query, sequence=batch.sequence[at]
    )


def test_the_source_is_the_text_token_with_most_attention(bridge: TransformerBridge) -> None:
    batch, g, layer = with_bos(random_batch(padded=True)), HeadGeometry.of(bridge), 1
    sources = read(bridge, batch)
    mask = torch.from_numpy(batch.attention_mask).long()
    sites = [g.pattern_site(layer), g.v_site(layer)]
    with torch.no_grad():
        _, cache = bridge.run_with_cache(
            torch.from_numpy(batch.tokens), attention_mask=mask, names_filter=sites
        )
    values = g.expanded(cache[sites[1]])
    place = 0
    for row in sources.sequence[::2]:
        for _ in range(2):
            query = int(sources._parts[0].places.query[place])
            for head in range(g.n_heads):
                seen = cache[sites[0]][row, head, query, 1 : query + 1]
                key = 1 + int(seen.argmax())
                assert sources.attention(layer)[place, head] == pytest.approx(float(seen.max()))
                assert int(sources.tokens(layer)[place, head]) == batch.tokens[row, key]
                torch.testing.assert_close(
                    sources.values(layer)[place, head], values[row, key, head]
                )
            place += 1


def test_sources_and_counts_are_of_the_text(bridge: TransformerBridge) -> None:
    batch = with_bos(random_batch(padded=True))
    sources = read(bridge, batch)
    text = batch.tokens[batch.is_query].tolist()
    ids, counts = sources.text
    assert dict(zip(ids.tolist(), counts.tolist(), strict=True)) == Counter(text)
    assert set(sources.tokens(0).flatten().tolist()) <= set(text)


@pytest.mark.parametrize("left", [False, True])
def test_batches_and_padding_change_nothing(bridge: TransformerBridge, left: bool) -> None:
    batch = with_bos(random_batch(padded=True))
    whole = read(bridge, batch)
    apart = read(bridge, rows(batch, [0, 1], left=left), rows(batch, [2], left=left))
    for layer in range(3):
        np.testing.assert_allclose(apart.attention(layer), whole.attention(layer), atol=1e-5)
        np.testing.assert_array_equal(apart.tokens(layer), whole.tokens(layer))
