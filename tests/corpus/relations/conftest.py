"""Tokenizers of the kinds that language models have, small, and directories that hold them."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = [
    "don't stop the pen, the old pen that she didn't use for writing",
    "John gave the pens to Mary and wrote a letter about United States transitions",
    "we'll see: it's the dogs' bowl — naïve café 雖然美國的許多 👍🏽 déjà vu",
] * 4
KINDS = ("byte", "byte_trimmed", "metaspace", "words")


def byte_level(*, trim: bool) -> Tokenizer:
    """GPT-2's kind: blanks go with the word after them; `trim` leaves them out of the offsets."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)  # pyright: ignore
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def metaspace() -> Tokenizer:
    """Llama's kind: a mark before every word and the text, characters it lacks as bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")  # pyright: ignore
    tokenizer.decoder = decoders.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [decoders.ByteFallback(), decoders.Metaspace()]
    )
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=tokens, limit_alphabet=40, show_progress=False
    )
    tokenizer.train_from_iterator([t for t in TEXT if t.isascii()], trainer)
    return tokenizer


def words() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore
    tokenizer.train_from_iterator(TEXT, trainers.WordLevelTrainer(special_tokens=["<unk>"]))
    return tokenizer


def write_model(directory: Path, tokenizer: Tokenizer, **specials: str) -> Path:
    """A directory with a tokenizer and a GPT-2 config of 64 positions."""
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials).save_pretrained(directory)
    config = {"vocab_size": tokenizer.get_vocab_size(), "model_type": "gpt2", "n_positions": 64}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Tokenizer]:
    return {
        "byte": byte_level(trim=False),
        "byte_trimmed": byte_level(trim=True),
        "metaspace": metaspace(),
        "words": words(),
    }


@pytest.fixture(scope="session")
def directories(tokenizers, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {name: write_model(root / name, tok) for name, tok in tokenizers.items()}
