"""Vocabulary: the words of a world, which are one token each or two, and its tokenizer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Punctuation, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.processors import TemplateProcessing

SPECIAL = ("<pad>", "<unk>", "<bos>")
PAD, UNKNOWN, BOS = range(3)
_CONTINUED = "##"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Words of one token, and words of two: `golden` as `gold` and `##en`."""

    whole: tuple[str, ...]
    split: Mapping[str, tuple[str, str]]
    """Word -> its two parts; joined they are the word."""

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Every token; its id is its place."""
        parts = [part for first, last in self.split.values() for part in (first, _mark(last))]
        return tuple(dict.fromkeys((*SPECIAL, *self.whole, *parts)))

    @cached_property
    def ids(self) -> dict[str, tuple[int, ...]]:
        """Word -> the ids of its one or two tokens."""
        place = {token: i for i, token in enumerate(self.tokens)}
        two = {word: (place[a], place[_mark(b)]) for word, (a, b) in self.split.items()}
        return {word: (place[word],) for word in self.whole} | two

    def encode(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """The ids of BOS and the words, and the place of the first token of each word."""
        tokens, starts = [BOS], []
        for word in words:
            starts.append(len(tokens))
            tokens.extend(self.ids[word])
        return tokens, starts

    def tokenizer(self) -> Tokenizer:
        """A fast tokenizer of these tokens: white space and punctuation part words, BOS leads."""
        vocabulary = {token: i for i, token in enumerate(self.tokens)}
        tokenizer = Tokenizer(
            WordPiece(vocabulary, unk_token="<unk>", continuing_subword_prefix=_CONTINUED)
        )
        tokenizer.pre_tokenizer = InTurn(  # pyright: ignore[reportAttributeAccessIssue]
            [WhitespaceSplit(), Punctuation()]
        )
        tokenizer.post_processor = TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
            single="<bos> $A", special_tokens=[("<bos>", BOS)]
        )
        tokenizer.add_special_tokens(list(SPECIAL))
        return tokenizer

    def write_tokenizer(self, directory: Path, *, n_ctx: int) -> None:
        """Write tokenizer.json and tokenizer_config.json, as AutoTokenizer reads them offline."""
        self.tokenizer().save(str(directory / "tokenizer.json"), pretty=False)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "bos_token": "<bos>",
            "eos_token": None,
            "model_max_length": n_ctx,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
        }
        path = directory / "tokenizer_config.json"
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _mark(part: str) -> str:
    return _CONTINUED + part
