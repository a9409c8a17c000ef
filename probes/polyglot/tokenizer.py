"""The tokenizer of polyglot: one token a word, words separated by white space."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from probes.polyglot.languages import WORDS


def word_tokenizer() -> Tokenizer:
    """A fast tokenizer whose ids are the places of WORDS; an unknown word becomes `<unk>`."""
    vocabulary = {word: token for token, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.add_special_tokens(["<pad>", "<unk>"])
    return tokenizer


def write_tokenizer(directory: Path, *, n_ctx: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, as AutoTokenizer reads them offline.

    There is no BOS and no EOS: the models never saw one, and nothing may be put before a line.
    """
    word_tokenizer().save(str(directory / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "bos_token": None,
        "eos_token": None,
        "model_max_length": n_ctx,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
