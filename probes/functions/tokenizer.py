"""The tokenizer of functions: one token a word, BOS before every line."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from probes.functions.tasks import BOS, SPECIAL, WORDS


def word_tokenizer() -> Tokenizer:
    """A fast tokenizer whose ids are the places of WORDS; an unknown word becomes `<unk>`."""
    vocabulary = {word: token for token, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    tokenizer.add_special_tokens(list(SPECIAL[:3]))
    return tokenizer


def write_tokenizer(directory: Path, *, n_ctx: int) -> None:
    """Write tokenizer.json and tokenizer_config.json, as AutoTokenizer reads them offline."""
    word_tokenizer().save(str(directory / "tokenizer.json"), pretty=False)
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
