"""Which token every row of an embedding stands for, from the tokenizer's files alone."""

from pathlib import Path
from typing import Any

from interp.models.tokenizer import read_json
from interp.results.errors import CorruptFile

FILE = "tokenizer.json"


def vocabulary(directory: Path) -> dict[str, int] | None:
    """Id of every token string, added tokens included; None without a tokenizer.json."""
    path = directory / FILE
    if not path.is_file():
        return None
    content = read_json(path)
    try:
        tokens = {**_plain(content["model"]["vocab"]), **_added(content, directory)}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorruptFile(f"{path} has no vocabulary ({error}): fetch it again") from error
    if any(not isinstance(token_id, int) or token_id < 0 for token_id in tokens.values()):
        raise CorruptFile(f"{path} has token ids that are no whole numbers: fetch it again")
    return tokens


def n_tokens(tokens: dict[str, int]) -> int:
    """How many rows the tokens need: what lies beyond is padding."""
    return max(tokens.values(), default=-1) + 1


def _plain(vocab: Any) -> dict[str, int]:
    if isinstance(vocab, dict):
        return vocab
    return {str(token): token_id for token_id, (token, _) in enumerate(vocab)}


def _added(content: dict[str, Any], directory: Path) -> dict[str, int]:
    added = {one["content"]: one["id"] for one in content.get("added_tokens") or []}
    config = directory / "tokenizer_config.json"
    if config.is_file():
        listed = read_json(config).get("added_tokens_decoder") or {}
        added |= {one["content"]: int(token_id) for token_id, one in listed.items()}
    return added
