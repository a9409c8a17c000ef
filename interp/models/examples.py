"""TrainingExamples: token ids with the tokens that the loss is taken on, from prompts and texts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes

DEFAULT_LENGTH = 512


@dataclass(frozen=True, kw_only=True)
class TrainingExamples:
    """What to train on: rows padded on the right, and which tokens are to be predicted."""

    tokens: Int[Tensor, "examples pos"]
    target: Bool[Tensor, "examples pos"]
    """False on prompts, on padding and on the first token of a text."""

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def hash(self) -> str:
        """SHA-256 of tokens and targets as fed."""
        shape = repr(tuple(self.tokens.shape)).encode()
        content = self.tokens.long().numpy().tobytes() + self.target.numpy().tobytes()
        return sha256_bytes(shape + content)

    def halves(self) -> tuple["TrainingExamples", "TrainingExamples"]:
        """Every second example, and the others: two samples of the same data."""
        if len(self) < 2:
            raise BadInput("one example cannot be halved: give more, or do without split halves")
        return self._rows(slice(0, None, 2)), self._rows(slice(1, None, 2))

    def sample(self, n: int, *, seed: int) -> "TrainingExamples":
        """The first `n` examples, or all, of an order drawn by `seed`. BadInput below 1."""
        if n < 1:
            raise BadInput(f"{n} examples at most: expected 1 or more")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self._rows(order[:n])

    def _rows(self, rows: slice | Int[Tensor, " rows"]) -> "TrainingExamples":
        return TrainingExamples(tokens=self.tokens[rows], target=self.target[rows])


class _Encoded(NamedTuple):
    ids: list[int]
    n_given: int
    """How many tokens at the start are not to be predicted."""


def read_examples(
    path: Path, tokenizer: PreTrainedTokenizerBase, *, length: int = DEFAULT_LENGTH
) -> TrainingExamples:
    """The examples of a jsonl file with lines {"prompt", "answer"} or {"text"}.

    Raises BadInput naming the line that is neither.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with prompt and answer, or text")
    with path.open(encoding="utf-8") as file:
        rows = [
            parse_line(line, where=f"{path}, line {number}")
            for number, line in enumerate(file, start=1)
            if line.strip()
        ]
    return encode_examples(rows, tokenizer, length=length)


def encode_examples(
    rows: Iterable[Mapping[str, Any]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    length: int = DEFAULT_LENGTH,
) -> TrainingExamples:
    """Token ids of every row: loss on the answer alone, or on a whole text.

    A text longer than `length` tokens becomes several examples; an answer is never cut: BadInput.
    """
    encoded = _encode_all(list(rows), tokenizer, length)
    if not encoded:
        raise BadInput("there is nothing to train on: the corpus has no example")
    longest = max(len(ids) for ids, _ in encoded)
    tokens = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in encoded])
    position = torch.arange(longest)
    first = torch.tensor([n_given for _, n_given in encoded])[:, None]
    end = torch.tensor([len(ids) for ids, _ in encoded])[:, None]
    return TrainingExamples(tokens=tokens, target=(position >= first) & (position < end))


def encode_prompts(prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of prompts, with what the tokenizer puts before a text but nothing after it."""
    bare = _ids(prompts, tokenizer, special=False)
    full = _ids(prompts, tokenizer, special=True)
    return [_without_suffix(ids, own) for ids, own in zip(full, bare, strict=True)]


def encode_answers(answers: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of answers, as they follow the prompt's: never merged with its last token."""
    return _ids(answers, tokenizer, special=False)


def _ids(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, special: bool
) -> list[list[int]]:
    """Token ids of every text; a text that stands often is tokenized once."""
    once = list(dict.fromkeys(texts))
    if not once:
        return []
    encoded = tokenizer(
        once, add_special_tokens=special, return_attention_mask=False, return_token_type_ids=False
    )
    ids = dict(zip(once, encoded["input_ids"], strict=True))
    return [ids[text] for text in texts]


def _without_suffix(full: list[int], bare: list[int]) -> list[int]:
    for end in range(len(full), len(bare) - 1, -1):
        if full[end - len(bare) : end] == bare:
            return full[:end]
    return bare


def parse_line(line: str, *, where: str) -> Mapping[str, Any]:
    """One line of a jsonl file as a row of text; BadInput, with `where` it stands, if none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict) or not _fields(row):
        raise BadInput(f"{where} has neither prompt and answer nor text")
    return row


def _fields(row: Mapping[str, Any]) -> Sequence[str]:
    for fields in (("prompt", "answer"), ("text",)):
        if all(isinstance(row.get(name), str) for name in fields):
            return fields
    return ()


def _encode_all(
    rows: list[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase, length: int
) -> list[_Encoded]:
    fields = [_fields(row) for row in rows]
    for row, found in zip(rows, fields, strict=True):
        if not found:
            raise BadInput(f"an example has neither prompt and answer nor text: {dict(row)!r}")
    given = [row[found[0]] for row, found in zip(rows, fields, strict=True)]
    answers = [
        row["answer"] if len(found) > 1 else "" for row, found in zip(rows, fields, strict=True)
    ]
    ids = zip(encode_prompts(given, tokenizer), encode_answers(answers, tokenizer), strict=True)
    return [
        piece
        for (start, end), row, found in zip(ids, rows, fields, strict=True)
        for piece in (
            [_answered(start, end, row, length)] if len(found) > 1 else _cut(start, length)
        )
    ]


def _cut(ids: list[int], length: int) -> list[_Encoded]:
    pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
    return [_Encoded(piece, 1) for piece in pieces if len(piece) > 1]


def _answered(
    prompt: list[int], answer: list[int], row: Mapping[str, Any], length: int
) -> _Encoded:
    if not prompt or not answer:
        raise BadInput(f"an example has no token in its prompt or answer: {dict(row)!r}")
    if len(prompt) + len(answer) > length:
        raise BadInput(
            f"an example has {len(prompt)} + {len(answer)} tokens, more than the {length} allowed: "
            f"shorten it or raise the length. It starts {row['prompt'][:40]!r}"
        )
    return _Encoded(prompt + answer, len(prompt))
