"""Preference pairs: a prompt with a chosen and a rejected answer, as text and as token ids."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.models.examples import DEFAULT_LENGTH, encode_answers, encode_prompts
from interp.results.errors import BadInput
from interp.results.hashing import sha256_bytes

Side = Literal["chosen", "rejected"]
WEIGHTS = "rejected_weights"
"""The column of a pairs file with a number for every token of the rejected answer."""


@dataclass(frozen=True, kw_only=True)
class PreferencePair:
    """Two answers to one prompt, and how much each token of the worse one is to blame."""

    prompt: str
    chosen: str
    rejected: str
    rejected_weights: tuple[float, ...] | None = None
    """One number a token of the rejected answer; None weighs every token 1."""
    where: str = field(default="a pair", compare=False)
    """Where it stands, for messages: file and line."""


@dataclass(frozen=True, kw_only=True)
class EncodedAnswers:
    """Prompts, each with one answer, as token ids padded on the right."""

    tokens: Int[Tensor, "pairs pos"]
    answer: Bool[Tensor, "pairs pos"]
    """True on the tokens of the answer; never on the first token of a row."""
    weights: Float[Tensor, "pairs pos"]
    """0 off the answer."""


@dataclass(frozen=True, kw_only=True)
class EncodedPairs:
    """Both answers of every pair, padded to one length."""

    chosen: EncodedAnswers
    rejected: EncodedAnswers

    def __len__(self) -> int:
        return len(self.chosen.tokens)

    def side(self, name: Side) -> EncodedAnswers:
        """The chosen or the rejected answers."""
        return self.chosen if name == "chosen" else self.rejected

    @property
    def hash(self) -> str:
        """SHA-256 of tokens, answers and weights as fed."""
        pieces = [repr(tuple(self.chosen.tokens.shape)).encode()]
        for side in (self.chosen, self.rejected):
            pieces += [side.tokens.long().numpy().tobytes(), side.answer.numpy().tobytes()]
            pieces += [side.weights.float().numpy().tobytes()]
        return sha256_bytes(b"".join(pieces))


def read_pairs(path: str | Path, *, weights: str = WEIGHTS) -> list[PreferencePair]:
    """The pairs of a jsonl file with the fields prompt, chosen, rejected and perhaps `weights`.

    Raises BadInput naming the line that lacks one, or whose answers are the same, and where the
    column of weights is named and no line has it.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with prompt, chosen and rejected")
    with path.open(encoding="utf-8") as file:
        pairs = [
            _parse(line, weights=weights, where=f"{path}, line {number}")
            for number, line in enumerate(file, start=1)
            if line.strip()
        ]
    if not pairs:
        raise BadInput(f"{path} is empty: expected lines with prompt, chosen and rejected")
    if weights != WEIGHTS and all(pair.rejected_weights is None for pair in pairs):
        raise BadInput(f"{path} has no column {weights!r}: `interp ability reward` writes weights")
    return pairs


def encode_pairs(
    pairs: Iterable[PreferencePair],
    tokenizer: PreTrainedTokenizerBase,
    *,
    length: int = DEFAULT_LENGTH,
) -> EncodedPairs:
    """Token ids of both answers of every pair; no answer is ever cut.

    Raises BadInput naming the pair with an empty prompt or answer, more than `length` tokens, or
    weights that are not one a token.
    """
    rows = list(pairs)
    if not rows:
        raise BadInput("there is nothing to align on: no pair was given")
    prompts = encode_prompts([row.prompt for row in rows], tokenizer)
    chosen = encode_answers([row.chosen for row in rows], tokenizer)
    rejected = encode_answers([row.rejected for row in rows], tokenizer)
    for row, prompt, better, worse in zip(rows, prompts, chosen, rejected, strict=True):
        _check_tokens(row, prompt, better, worse, length)
    longest = max(
        len(prompt) + max(len(better), len(worse))
        for prompt, better, worse in zip(prompts, chosen, rejected, strict=True)
    )
    blame = [row.rejected_weights for row in rows]
    return EncodedPairs(
        chosen=_encoded(prompts, chosen, [None] * len(rows), longest),
        rejected=_encoded(prompts, rejected, blame, longest),
    )


def _encoded(
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    weights: Sequence[tuple[float, ...] | None],
    longest: int,
) -> EncodedAnswers:
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long)
    answer = torch.zeros(len(prompts), longest, dtype=torch.bool)
    weight = torch.zeros(len(prompts), longest)
    for row, (start, end, of_tokens) in enumerate(zip(prompts, answers, weights, strict=True)):
        n = len(start) + len(end)
        tokens[row, :n] = torch.tensor(start + end)
        answer[row, len(start) : n] = True
        weight[row, len(start) : n] = torch.tensor(of_tokens if of_tokens is not None else 1.0)
    return EncodedAnswers(tokens=tokens, answer=answer, weights=weight)


def _parse(line: str, *, weights: str, where: str) -> PreferencePair:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    fields = ("prompt", "chosen", "rejected")
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in fields):
        raise BadInput(f"{where} lacks prompt, chosen or rejected as a text")
    if row["chosen"] == row["rejected"]:
        raise BadInput(f"{where} has the same answer twice: a pair prefers one of two answers")
    return PreferencePair(
        **{name: row[name] for name in fields},
        rejected_weights=_weights(row, weights, where),
        where=where,
    )


def _weights(row: Mapping[str, Any], column: str, where: str) -> tuple[float, ...] | None:
    given = row.get(column)
    if given is None:
        return None
    numbers: list[Any] = given if isinstance(given, list) else [None]
    if not all(type(w) in (int, float) and math.isfinite(w) and w >= 0 for w in numbers):
        raise BadInput(f"{where}: {column} is not a list of numbers from 0 up, one a token")
    return tuple(float(w) for w in numbers)


def _check_tokens(
    pair: PreferencePair, prompt: list[int], better: list[int], worse: list[int], length: int
) -> None:
    if not prompt or not better or not worse:
        raise BadInput(f"{pair.where} has no token in its prompt or in an answer")
    if len(prompt) + max(len(better), len(worse)) > length:
        raise BadInput(
            f"{pair.where} has {len(prompt)} + {max(len(better), len(worse))} tokens, more than "
            f"the {length} allowed: shorten it or raise the length"
        )
    if pair.rejected_weights is not None and len(pair.rejected_weights) != len(worse):
        raise BadInput(
            f"{pair.where} has {len(pair.rejected_weights)} weights for the {len(worse)} tokens of "
            "its rejected answer: expected one a token"
        )
