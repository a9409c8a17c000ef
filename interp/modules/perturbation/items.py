"""FunctionItem: a token sequence that asks one function of a model, and where its answer stands.

One JSON object a line, in one of these forms; `function` is always there:

    {"tokens": [0, 7, 12, ...], "answer_start": 10}        what follows index 10 is the answer
    {"tokens": [0, 7, 12, ...], "answer": [31, 8]}         ids that follow
    {"text": "The capital of France is", "answer": " Paris"}
    {"text": "2 + 2 = 4", "answer_start": 8}               a character index
    {"text": "A plain sentence of some kind."}             no answer: loss only, on every token

`answer_end` (exclusive) ends an answer that more tokens follow. `split` is `validation` (means and
spreads are estimated there) or `test` (looked at once); a line without it goes to one of the two by
the hash of its tokens, so that equal sequences never lie on both sides. `id` is optional.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.models.examples import encode_answers, encode_prompts
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

SPLITS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class FunctionItem:
    """One sequence of one function."""

    id: str
    function: str
    split: str
    """`validation` estimates, `test` is looked at once."""
    tokens: tuple[int, ...]
    answer_start: int
    """Tokens from here on are predicted from the true tokens before them; at least 1."""
    answer_end: int
    """Exclusive."""
    has_answer: bool
    """False for plain text, where every token counts for the loss and accuracy has no meaning."""

    def __post_init__(self) -> None:
        if not 1 <= self.answer_start < self.answer_end <= len(self.tokens):
            raise BadInput(
                f"item {self.id!r}: tokens {self.answer_start} to {self.answer_end} of "
                f"{len(self.tokens)} cannot be its answer: at least one token stands before it"
            )


def read_function_items(path: Path, tokenizer: Any = None) -> list[FunctionItem]:
    """The items of a jsonl file, in order. `tokenizer` is needed where a line holds text.

    Raises BadInput naming the line and what it lacks, and for an id or a sequence that stands in
    both splits.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with function, and tokens or text")
    with path.open(encoding="utf-8") as file:
        rows = [
            (number, _row(line, f"{path}, line {number}"))
            for number, line in enumerate(file, start=1)
            if line.strip()
        ]
    items = [
        _item(row, where=f"{path}, line {number}", id=f"{path.stem}-{number}", tokenizer=tokenizer)
        for number, row in rows
    ]
    check_items(items, name=str(path))
    return items


def write_function_items(path: Path, items: Iterable[FunctionItem]) -> None:
    """Write items as jsonl of tokens."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            content = {**asdict(item), "tokens": list(item.tokens)}
            if not content.pop("has_answer"):
                del content["answer_start"], content["answer_end"]
            file.write(json.dumps(content, ensure_ascii=False) + "\n")


def check_items(items: Sequence[FunctionItem], *, name: str = "the data") -> None:
    """Raise BadInput for no items, ids that stand twice, or a sequence in both splits."""
    if not items:
        raise BadInput(f"{name} holds no item")
    ids = {item.id for item in items}
    if len(ids) < len(items):
        raise BadInput(f"{name}: {len(items)} items share {len(ids)} ids: each needs its own")
    fitted, tested = ({i.tokens for i in items if i.split == split} for split in SPLITS)
    if both := len(fitted & tested):
        raise BadInput(
            f"{name}: {both} sequences are in both splits: what is estimated on would be tested"
        )


def functions_of(items: Iterable[FunctionItem]) -> tuple[str, ...]:
    """The names of the functions, in the order of their first item."""
    return tuple(dict.fromkeys(item.function for item in items))


def function_items_hash(items: Sequence[FunctionItem]) -> str:
    """SHA-256 of what was asked."""
    return sha256_json([{**asdict(item), "tokens": list(item.tokens)} for item in items])


def _row(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where} is not a JSON object")
    return row


def _item(row: Mapping[str, Any], *, where: str, id: str, tokenizer: Any) -> FunctionItem:
    function = row.get("function")
    if not isinstance(function, str) or not function:
        raise BadInput(f"{where} lacks the text field 'function'")
    tokens, start = _tokens(row, where, tokenizer)
    end = row.get("answer_end", len(tokens))
    if isinstance(end, bool) or not isinstance(end, int):
        raise BadInput(f"{where}: answer_end is a token index, got {end!r}")
    return FunctionItem(
        id=str(row.get("id", id)),
        function=function,
        split=_split(row, tokens, where),
        tokens=tuple(tokens),
        answer_start=1 if start is None else start,
        answer_end=end,
        has_answer=start is not None,
    )


def _split(row: Mapping[str, Any], tokens: list[int], where: str) -> str:
    if "split" not in row:
        return SPLITS[int(sha256_json(tokens)[:8], 16) % 2]
    if row["split"] not in SPLITS:
        raise BadInput(f"{where}: split {row['split']!r}, expected validation or test")
    return row["split"]


def _tokens(row: Mapping[str, Any], where: str, tokenizer: Any) -> tuple[list[int], int | None]:
    """Token ids and where the answer starts, None without one."""
    start, answer = row.get("answer_start"), row.get("answer")
    if start is not None and (isinstance(start, bool) or not isinstance(start, int)):
        raise BadInput(f"{where}: answer_start is an index, got {start!r}")
    if "tokens" in row:
        tokens = _ids(row["tokens"], "tokens", where)
        if answer is None:
            return tokens, start
        return tokens + _ids(answer, "answer", where), len(tokens)
    text = row.get("text")
    if not isinstance(text, str):
        raise BadInput(f"{where} has neither tokens nor text")
    if start is not None:
        text, answer = text[:start], text[start:]
    if tokenizer is None:
        raise BadInput(f"{where} holds text, and the model has no tokenizer: give tokens")
    prompt = encode_prompts([text], tokenizer)[0]
    if answer is None:
        return prompt, None
    if not isinstance(answer, str):
        raise BadInput(f"{where}: the answer to a text is a text, got {answer!r}")
    return prompt + encode_answers([answer], tokenizer)[0], len(prompt)


def _ids(value: Any, name: str, where: str) -> list[int]:
    if not isinstance(value, list) or not all(type(i) is int and i >= 0 for i in value):
        raise BadInput(f"{where}: {name} must be a list of token ids")
    return value
