"""Random tokens: which ids, and how they repeat."""

from pathlib import Path

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.tokens import random_tokens, regular_tokens, repeated_tokens
from interp.results.errors import BadInput
from tests.heads.making import tiny_bridge
from tests.models import BOS, D_VOCAB, EOS, PAD, UNK


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> TransformerBridge:
    return tiny_bridge("gpt2", tmp_path_factory.mktemp("models"))


def test_special_tokens_are_left_out_and_counted(bridge: TransformerBridge) -> None:
    regular = regular_tokens(bridge)
    assert regular.bos_id == BOS
    assert not {PAD, BOS, EOS, UNK} & set(regular.ids.tolist())
    assert len(regular.ids) + sum(regular.excluded.values()) == D_VOCAB
    assert "4 special" in regular.rule


def test_rare_and_frequent_ids_are_dropped_where_frequencies_are_known(
    bridge: TransformerBridge,
) -> None:
    frequencies = np.arange(D_VOCAB, dtype=float)
    ids = regular_tokens(bridge, frequencies=frequencies).ids
    assert (ids.min(), ids.max(), len(ids)) == (6, D_VOCAB - 3, D_VOCAB - 8)


def test_a_model_without_a_tokenizer_has_ids_all_the_same(tmp_path: Path) -> None:
    regular = regular_tokens(tiny_bridge("llama", tmp_path, tokenizer=False))
    assert len(regular.ids) == D_VOCAB - 3


def test_a_repeat_holds_no_token_twice_and_comes_back_after_its_period(
    bridge: TransformerBridge,
) -> None:
    made = repeated_tokens(regular_tokens(bridge), sequences=40, length=33, seed=3)
    for row, period in zip(made.tokens, made.period, strict=True):
        assert row[0] == BOS
        body = row[1:]
        assert len(set(body[:period].tolist())) == period
        np.testing.assert_array_equal(body[period:], body[:-period])
    assert len(set(made.period.tolist())) > 3
    assert (made.period.min() >= 8, made.period.max() <= 16) == (True, True)


def test_the_same_seed_gives_the_same_tokens_whatever_the_batches(
    bridge: TransformerBridge,
) -> None:
    regular = regular_tokens(bridge)
    one, other = (repeated_tokens(regular, sequences=5, length=20, seed=1) for _ in range(2))
    assert one.hash == other.hash
    assert one.hash != repeated_tokens(regular, sequences=5, length=20, seed=2).hash
    batches = [batch.tokens for batch in one.batches(2)]
    np.testing.assert_array_equal(np.concatenate(batches), other.tokens)
    assert not next(one.batches(2)).is_query[:, 0].any()


def test_random_tokens_hold_no_token_twice(bridge: TransformerBridge) -> None:
    made = random_tokens(regular_tokens(bridge), sequences=4, length=30, seed=0)
    assert all(len(set(row.tolist())) == 30 for row in made.tokens)
    with pytest.raises(BadInput, match="70 different tokens of 60"):
        random_tokens(regular_tokens(bridge), sequences=1, length=71, seed=0)


def test_too_few_tokens_for_a_repeat_are_refused(bridge: TransformerBridge) -> None:
    with pytest.raises(BadInput, match="too few for repeats"):
        repeated_tokens(regular_tokens(bridge), sequences=1, length=5, seed=0)
