"""Which words are one token, and how many tokens are asked about."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers import decoders as token_decoders
from transformers import PreTrainedTokenizerFast

from interp.heads.attention import HeadGeometry
from interp.heads.detector import Scoring
from interp.heads.weights.shared import asked_tokens, k_of, single_token
from interp.models.load import load

Scored = Callable[[PreTrainedTokenizerFast | None], Scoring]


@pytest.fixture(scope="module")
def scored(model_directory: Callable[[str], Path]) -> Scored:
    bridge = load(model_directory("gpt2"), device="cpu")
    geometry = HeadGeometry.of(bridge)

    def scoring(tokenizer: PreTrainedTokenizerFast | None) -> Scoring:
        bridge.tokenizer = tokenizer
        return Scoring(bridge=bridge, geometry=geometry, model_hash=None, command="test")

    return scoring


def byte_level(*merged: str) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *merged]
    vocabulary = {word: i for i, word in enumerate(words)}
    own = Tokenizer(models.WordLevel(vocabulary, unk_token=alphabet[0]))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[attr-defined]
    own.decoder = token_decoders.ByteLevel()  # type: ignore[attr-defined]
    return PreTrainedTokenizerFast(tokenizer_object=own, unk_token=alphabet[0])


def test_a_word_is_looked_up_with_its_blank_first(scored: Scored) -> None:
    tokenizer = byte_level("ĠMay", "May", "June")
    token = single_token(scored(tokenizer))
    may, june = (tokenizer.convert_tokens_to_ids(word) for word in ("ĠMay", "June"))
    assert [token("May"), token("June"), token("July")] == [may, june, None]


def test_without_a_tokenizer_no_word_is_a_token(scored: Scored) -> None:
    assert single_token(scored(None))("May") is None


def test_a_small_vocabulary_is_asked_about_whole_and_a_large_one_in_part(scored: Scored) -> None:
    scoring = scored(None)
    regular = scoring.regular.ids
    np.testing.assert_array_equal(asked_tokens(scoring), regular)
    some = asked_tokens(scoring, 20)
    assert len(set(some)) == 20 and set(some) < set(regular)


def test_ten_of_the_lowest_is_at_most_one_in_a_hundred() -> None:
    assert [k_of(50_257), k_of(1_000), k_of(999), k_of(48)] == [10, 10, 9, 1]
