"""Haystack: a long prompt with one place that answers it, as token ids."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerBase

from interp.models.examples import encode_answers
from interp.results.errors import BadInput

QUESTION = "\n\nQuestion: {question}\nAnswer:"


class Span(NamedTuple):
    """Token positions from `start` up to `stop`."""

    start: int
    stop: int


class Needle(NamedTuple):
    """A sentence to hide, and the question that it answers."""

    needle: str
    question: str


@dataclass(frozen=True, kw_only=True)
class Haystack:
    """A prompt that asks for what stands in its needle."""

    tokens: Int[np.ndarray, " pos"]
    needle: Span
    elsewhere: tuple[Span, ...] = ()
    """As long as the needle and like it, but not asked for; () where there is nothing alike."""

    @property
    def n_needle(self) -> int:
        """Tokens of the needle."""
        return self.needle.stop - self.needle.start


def key_value_haystacks(
    ids: Int[np.ndarray, " ids"],
    *,
    bos_id: int | None,
    n: int,
    n_lines: int,
    n_value: int,
    rng: np.random.Generator,
) -> list[Haystack]:
    """Lines of a key and a value, then one key again: its value is the needle.

    A line is a key, `n_value` tokens and a separator, the same in all lines. Keys and tokens of
    values are of `ids`, none twice in a haystack, so that a head that copies copies from the needle
    alone. Every line is asked for as often as any other, give or take once. Raises BadInput where
    there are too few ids.
    """
    wanted = n_lines * (1 + n_value) + 1
    if min(n, n_lines - 1, n_value) < 1:
        raise BadInput("haystacks, values and further lines: expected at least 1 of each")
    if wanted > len(ids):
        raise BadInput(
            f"{n_lines} lines with values of {n_value} need {wanted} different tokens and there "
            f"are {len(ids)}: ask for fewer lines or shorter values"
        )
    front = [] if bos_id is None else [bos_id]
    asked = rng.permutation(n) % n_lines
    found = []
    for line in asked:
        drawn = rng.choice(ids, size=wanted, replace=False)
        lines = drawn[1:].reshape(n_lines, 1 + n_value)
        told = np.concatenate([lines, np.full((n_lines, 1), drawn[0])], axis=1)
        starts = len(front) + 1 + np.arange(n_lines) * (n_value + 2)
        spans = [Span(int(start), int(start) + n_value) for start in starts]
        found.append(
            Haystack(
                tokens=np.concatenate([front, told.ravel(), lines[line, :1]]).astype(np.int64),
                needle=spans[line],
                elsewhere=tuple(span for i, span in enumerate(spans) if i != line),
            )
        )
    return found


def needle_haystacks(
    filler: Int[np.ndarray, " pos"],
    needles: Sequence[Needle],
    tokenizer: PreTrainedTokenizerBase,
    *,
    lengths: Sequence[int],
    depths: Sequence[float],
    bos_id: int | None,
) -> list[Haystack]:
    """Every needle at every depth of every length of text: arXiv 2404.15574, section 2.

    Lengths are those of the whole prompt. The needle may stand in the middle of a sentence. Raises
    BadInput where the text, or a length, is too short.
    """
    front = [] if bos_id is None else [bos_id]
    hidden = encode_answers([" " + one.needle.strip() for one in needles], tokenizer)
    questions = encode_answers([QUESTION.format(question=o.question) for o in needles], tokenizer)
    found = []
    for length in lengths:
        for needle, question in zip(hidden, questions, strict=True):
            n_filler = length - len(front) - len(needle) - len(question)
            if not 0 < n_filler <= len(filler):
                raise BadInput(
                    f"a haystack of {length} tokens needs {n_filler} of text and there are "
                    f"{len(filler)}: choose other lengths or give more text"
                )
            for depth in depths:
                before = round(depth * n_filler)
                start = len(front) + before
                parts = [front, filler[:before], needle, filler[before:n_filler], question]
                found.append(
                    Haystack(
                        tokens=np.concatenate(parts).astype(np.int64),
                        needle=Span(start, start + len(needle)),
                    )
                )
    return found


def read_needles(path: Path) -> list[Needle]:
    """The needles of a jsonl file, one a line: `{"needle": ..., "question": ...}`.

    Raises BadInput naming the line that is not one.
    """
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with needle and question a line")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip():
            found.append(_needle(line, f"{path}, line {number}"))
    if not found:
        raise BadInput(f"{path} holds no needle: expected needle and question a line")
    return found


def _needle(line: str, where: str) -> Needle:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    texts = []
    for name in Needle._fields:
        text = row.get(name) if isinstance(row, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"{where} lacks the text field {name!r}: needle and question are needed")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadInput(f"{where}: {name} holds half a character, it is not text")
        texts.append(text)
    return Needle(*texts)
