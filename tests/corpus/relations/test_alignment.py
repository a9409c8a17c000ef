"""Words on tokens: blanks, marks, contractions, emoji and CJK, under four kinds of tokenizer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import ByT5Tokenizer

from interp.corpus.relations import RelatedText, TextEntity, TextRelation, open_relations
from interp.corpus.relations.alignment import (
    NO_TOKEN,
    SHARED,
    mention_tokens,
    token_before,
    visible_spans,
)
from interp.results.errors import Unsupported
from tests.corpus.relations.conftest import KINDS

WORDS = (
    *(
        "pen",
        "don",
        "'t",
        "n't",
        "do",
        "writing",
        "naïve",
        "e\u0301",
        "雖然",
        "美國",
        "的",
        "👍🏽",
        "👍",
    ),
    *("。", "John", "X", "dogs'", "\u0301"),
)
GAPS = ("", " ", "  ", "\t", "\n", "\u00a0", "\u3000")


def encoded(tokenizer, text):
    found = tokenizer.encode(text, add_special_tokens=False)
    return found, visible_spans(text, np.array(found.offsets), found.tokens)


@pytest.mark.parametrize(
    ("kind", "text", "word", "expected"),
    [
        ("byte", "the pen", "pen", ["Ġpen"]),
        ("byte_trimmed", "the pen", "pen", ["Ġpen"]),
        ("metaspace", "the pen", "the", ["▁the"]),
        # A lone space is (5, 6), or (6, 6) where offsets are trimmed: of no word.
        ("byte", "don't  stop", "stop", ["Ġstop"]),
        ("byte_trimmed", "don't  stop", "stop", ["Ġstop"]),
        ("metaspace", "don't  stop", "stop", ["▁stop"]),
        # The treebank's do + n't are the tokenizer's don + 't, or its one don't.
        ("byte", "don't  stop", "do", SHARED),
        ("byte", "don't  stop", "n't", SHARED),
        ("metaspace", "don't  stop", "n't", SHARED),
        ("byte", "don't  stop", "'t", ["'t"]),
        # One character is several tokens, all with its span.
        ("metaspace", "👍🏽雖 pen", "👍🏽", [f"<0x{b:02X}>" for b in "👍🏽".encode()]),
        ("byte", "a 水 b", "水", 3),
        # Bytes of neighbouring characters in one token belong to both.
        ("byte", "雖然 pen", "雖", SHARED),
        # The mark before a text claims its first character.
        ("metaspace", "é pen", "é", ["<0xC3>", "<0xA9>"]),
        ("metaspace", "'t pen", "'t", ["'t"]),
        ("words", "the (pen) wrote", "pen", SHARED),
        ("words", "wrote a letter", "wrote a", ["wrote", "a"]),
        ("byte", "the pen", " ", NO_TOKEN),
    ],
)
def test_a_word_is_the_tokens_that_hold_its_characters(tokenizers, kind, text, word, expected):
    found, visible = encoded(tokenizers[kind], text)
    start = text.index(word)
    tokens = mention_tokens(text, (start, start + len(word)), visible)
    if isinstance(tokens, str) or isinstance(expected, str):
        assert tokens == expected
    elif isinstance(expected, int):
        assert tokens[1] - tokens[0] == expected
    else:
        assert found.tokens[slice(*tokens)] == expected


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(parts=st.lists(st.tuples(st.sampled_from(GAPS), st.sampled_from(WORDS)), min_size=1))
def test_alignment_is_that_of_a_walk_over_the_characters(tokenizers, kind, parts):
    text, spans, owner = "", [], []
    for number, (gap, word) in enumerate(parts):
        text += gap + word
        owner += [None] * len(gap) + [number] * len(word)
        spans.append((len(text) - len(word), len(text)))
    found, visible = encoded(tokenizers[kind], text)
    owners = []
    for token, (start, stop) in zip(found.tokens, found.offsets, strict=True):
        is_mark = token == "▁"
        owners.append(set() if is_mark else {w for w in owner[start:stop] if w is not None})
    for number, span in enumerate(spans):
        mine = [i for i, of in enumerate(owners) if number in of]
        tokens = mention_tokens(text, span, visible)
        if not mine:
            assert tokens == NO_TOKEN
        elif any(len(owners[i]) > 1 for i in mine):
            assert tokens == SHARED
        else:
            assert tokens == (mine[0], mine[-1] + 1)
            if kind.startswith("byte"):
                assert (
                    tokenizers[kind].decode(found.ids[slice(*tokens)]).strip() == parts[number][1]
                )


def test_an_answer_is_asked_for_by_the_token_before_it(tokenizers):
    text = "who?  writing wrote"
    found, visible = encoded(tokenizers["byte"], text)
    at = found.tokens.index("Ġwriting") - 1
    # From the word itself, or from the blanks before it.
    assert token_before(text, 6, visible) == token_before(text, 5, visible) == at
    assert token_before(text, 7, visible) is None or found.tokens[at + 1] != "Ġwriting"
    assert token_before(text, 0, visible) == -1
    assert token_before("a b  ", 3, encoded(tokenizers["byte"], "a b  ")[1]) is None


def test_a_tokenizer_that_does_not_know_its_characters_is_refused_by_name():
    text = RelatedText(
        "a b",
        (TextEntity("a", "x", ((0, 1),)), TextEntity("b", "x", ((2, 3),))),
        (TextRelation(0, "r", 1),),
        0,
        "line 1",
    )
    with pytest.raises(Unsupported, match="ByT5Tokenizer.*PreTrainedTokenizerFast"):
        open_relations([text], ByT5Tokenizer(), mapping={"r": ["r"]})
