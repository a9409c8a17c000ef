"""What a model directory's own files say about its tokenizer: is there one, BOS, EOS, padding.

Never asked of the loaded bridge, which invents a tokenizer where there is none and gives one
without BOS, EOS or padding all three.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.results.errors import BadInput, CorruptFile
from interp.results.hashing import sha256_file, sha256_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_VOCABULARIES = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)


@dataclass(frozen=True, kw_only=True)
class TokenizerFacts:
    """The tokenizer of one model directory, as its files declare it.

    Without a tokenizer the ids are those of config.json, where they are inside the vocabulary.
    """

    present: bool
    n_tokens: int | None
    """Entries of the vocabulary, added tokens included; None without a tokenizer."""
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None
    unk_id: int | None
    prefix: tuple[int, ...]
    """Ids that encoding puts before a text, as `<s>` or `[CLS]`."""
    suffix: tuple[int, ...]
    """Ids that encoding puts after it, as `</s>` or `[SEP]`."""
    special_ids: tuple[int, ...]
    digest: str | None
    """SHA-256 of what decides the ids: vocabulary, merges, normaliser, special tokens."""

    @property
    def adds_bos(self) -> bool:
        """Whether encoding puts the BOS token first by itself."""
        return self.bos_id is not None and self.prefix[:1] == (self.bos_id,)


def has_tokenizer(directory: Path) -> bool:
    """Whether the files of `directory` hold a vocabulary to tokenize with."""
    return any(all((directory / name).is_file() for name in files) for files in _VOCABULARIES)


def load_tokenizer(
    directory: Path, *, trust_remote_code: bool = False
) -> "PreTrainedTokenizerBase | None":
    """The tokenizer that the files of `directory` hold; None if they hold none."""
    if not has_tokenizer(directory):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            str(directory), trust_remote_code=trust_remote_code, local_files_only=True
        )
    except Exception as error:  # the tokenizers library raises bare Exception on a bad file
        raise CorruptFile(f"the tokenizer in {directory} does not load: {error}") from error


def tokenizer_facts(directory: Path, *, trust_remote_code: bool = False) -> TokenizerFacts:
    """Facts from the files of `directory`; `present=False` when there is no tokenizer."""
    tokenizer = load_tokenizer(directory, trust_remote_code=trust_remote_code)
    if tokenizer is None:
        return _facts_of_config(directory)
    declared = _declared_ids(directory, tokenizer)
    prefix, suffix = _surroundings(tokenizer)
    return TokenizerFacts(
        present=True,
        n_tokens=len(tokenizer),
        bos_id=_own(tokenizer.bos_token_id, declared),
        eos_id=_own(tokenizer.eos_token_id, declared),
        pad_id=_own(tokenizer.pad_token_id, declared),
        unk_id=_own(tokenizer.unk_token_id, declared),
        prefix=prefix,
        suffix=suffix,
        special_ids=_special_ids(tokenizer, declared),
        digest=tokenizer_digest(directory),
    )


def token_strings(tokenizer: Any, n: int | None = None) -> list[str]:
    """How each of the ids 0..n-1 looks to a person: spaces as spaces, half characters as bytes.

    `n` may exceed the tokenizer's own entries (models pad their vocabulary); those ids are "".
    """
    total = len(tokenizer) if n is None else n
    return [_token_string(tokenizer, i) if i < len(tokenizer) else "" for i in range(total)]


def tokenizer_digest(directory: Path) -> str | None:
    """SHA-256 of what decides the ids of a text; None without a tokenizer.

    Of tokenizer.json its meaning, not its bytes: padding and truncation settings, which a
    library rewrites at will, do not count. Of other formats the bytes.
    """
    if not has_tokenizer(directory):
        return None
    parts: dict[str, Any] = {}
    for name in sorted({name for files in _VOCABULARIES for name in files}):
        path = directory / name
        if path.is_file():
            parts[name] = _meaning(path) if name == "tokenizer.json" else sha256_file(path)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = directory / name
        if path.is_file():
            content = read_json(path)
            parts[name] = {key: content[key] for key in sorted(content) if "token" in key}
    # A library rewrites these two at will; only what names tokens is kept above.
    return sha256_json(parts)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; CorruptFile names the file and what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CorruptFile(f"{path} is not JSON: {error}") from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{path} holds a {type(content).__name__}, a JSON object was expected")
    return content


def _meaning(path: Path) -> dict[str, Any]:
    content = read_json(path)
    return {k: v for k, v in content.items() if k not in ("padding", "truncation", "version")}


def _special_ids(tokenizer: "PreTrainedTokenizerBase", declared: frozenset[int]) -> tuple[int, ...]:
    """All but the unknown token, which stands for text, unless it has another duty too."""
    duties = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    unknown = None if tokenizer.unk_token_id in duties else tokenizer.unk_token_id
    return tuple(sorted(i for i in tokenizer.all_special_ids if i in declared and i != unknown))


def _token_string(tokenizer: Any, token_id: int) -> str:
    raw = tokenizer.convert_ids_to_tokens(token_id)
    if raw is None:
        return ""
    if "\u2581" in raw:
        return raw.replace("\u2581", " ")
    text = tokenizer.decode([token_id])
    return raw if "\ufffd" in text or not text else text


def _own(token_id: Any, declared: frozenset[int]) -> int | None:
    """`token_id` if the files declare it: a class default may name a token they do not hold."""
    return token_id if token_id in declared else None


def _declared_ids(directory: Path, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    if not (directory / "tokenizer.json").is_file():
        return frozenset(range(len(tokenizer)))
    from tokenizers import Tokenizer

    raw = Tokenizer.from_file(str(directory / "tokenizer.json"))
    return frozenset(raw.get_vocab(with_added_tokens=True).values())


def _surroundings(tokenizer: "PreTrainedTokenizerBase") -> tuple[tuple[int, ...], tuple[int, ...]]:
    bare = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a", add_special_tokens=True)
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return tuple(full[:start]), tuple(full[start + len(bare) :])
    return (), ()


def _facts_of_config(directory: Path) -> TokenizerFacts:
    path = directory / "config.json"
    config = read_json(path) if path.is_file() else {}
    d_vocab = config.get("vocab_size", 0)

    def inside(name: str) -> int | None:
        token_id = config.get(name)
        return token_id if isinstance(token_id, int) and 0 <= token_id < d_vocab else None

    bos, eos, pad = inside("bos_token_id"), inside("eos_token_id"), inside("pad_token_id")
    return TokenizerFacts(
        present=False,
        n_tokens=None,
        bos_id=bos,
        eos_id=eos,
        pad_id=pad,
        unk_id=None,
        prefix=(),
        suffix=(),
        special_ids=tuple(sorted({i for i in (bos, eos, pad) if i is not None})),
        digest=None,
    )
