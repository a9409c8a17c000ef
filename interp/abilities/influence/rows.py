"""Rows of a training file one by one: their number, their hash, and their tokens as one loss."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from interp.models.examples import TrainingExamples, encode_examples, parse_line
from interp.results.errors import BadInput


class Row(NamedTuple):
    """One line of a jsonl file."""

    number: int
    """From 1, blank lines counted."""
    hash: bytes
    """SHA-256 of the line without its line end."""
    content: Mapping[str, Any]


class EncodedRow(NamedTuple):
    """A row as tokens; a text longer than the limit is several pieces of one row."""

    row: Row
    pieces: TrainingExamples

    @property
    def n_targets(self) -> int:
        """Tokens that the row's loss is the mean of."""
        return int(self.pieces.target.sum())


class RowBatch(NamedTuple):
    """Several rows, padded on the right to one length."""

    tokens: Int[Tensor, "pieces pos"]
    target: Bool[Tensor, "pieces pos"]
    owner: Int[Tensor, " pieces"]
    """Which row of the batch a piece belongs to."""
    n_rows: int


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a jsonl file, read one at a time. BadInput names the line that is none."""
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with prompt and answer, or text")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                content = parse_line(line, where=f"{path}, line {number}")
                yield Row(number, hashlib.sha256(line.rstrip("\r\n").encode()).digest(), content)


def encode_row(row: Row, tokenizer: PreTrainedTokenizerBase, *, length: int) -> EncodedRow:
    """The row's tokens. BadInput names the line that has nothing to predict or is too long."""
    try:
        return EncodedRow(row, encode_examples([row.content], tokenizer, length=length))
    except BadInput as error:
        raise BadInput(f"line {row.number}: {error}") from error


def batches_of(
    rows: Iterable[EncodedRow], size: int
) -> Iterator[tuple[list[EncodedRow], RowBatch]]:
    """`size` rows at a time, with their batch."""
    remaining = iter(rows)
    while taken := list(islice(remaining, size)):
        yield taken, batch_rows(taken)


def batch_rows(rows: Sequence[EncodedRow]) -> RowBatch:
    """The rows side by side."""
    longest = max(row.pieces.tokens.shape[1] for row in rows)
    counts = torch.tensor([len(row.pieces) for row in rows])
    return RowBatch(
        tokens=torch.cat([_padded(row.pieces.tokens, longest) for row in rows]),
        target=torch.cat([_padded(row.pieces.target, longest) for row in rows]),
        owner=torch.repeat_interleave(torch.arange(len(rows)), counts),
        n_rows=len(rows),
    )


def row_losses(model: nn.Module, batch: RowBatch) -> Float[Tensor, " rows"]:
    """Every row's own mean cross-entropy over its targets, in nats; rows do not see each other."""
    device = next(model.parameters()).device
    tokens, scored = batch.tokens.to(device), batch.target[:, 1:].to(device)
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    losses = functional.cross_entropy(
        logits[scored].float(), tokens[:, 1:][scored], reduction="none"
    )
    owner = batch.owner.to(device)[:, None].expand_as(scored)[scored]
    total = torch.zeros(batch.n_rows, device=device).index_add(0, owner, losses)
    return total / torch.bincount(owner, minlength=batch.n_rows)


def with_shuffled_answers(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """The rows with each other's answers; a row of text with its own words in random order."""
    order = rng.permutation(len(rows))
    return [_shuffled(row, rows[int(other)], rng) for row, other in zip(rows, order, strict=True)]


def _shuffled(row: Row, other: Row, rng: np.random.Generator) -> Row:
    if "answer" in row.content and "prompt" in row.content:
        answer = other.content.get("answer", row.content["answer"])
        return row._replace(content={**row.content, "answer": answer})
    words = row.content["text"].split()
    mixed = " ".join(words[int(i)] for i in rng.permutation(len(words)))
    return row._replace(content={**row.content, "text": mixed})


def _padded(values: Tensor, length: int) -> Tensor:
    return functional.pad(values, (0, length - values.shape[1]))
