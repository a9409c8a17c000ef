"""Corrections: what a rewriting model learns from, under the minimum-edit constraint.

A row holds a problem, a right solution and a prediction; the model reads the three and writes the
prediction corrected. Of the rewrites that are known (a teacher's, and the solution itself) those
are allowed whose final answer is right, and of these the one with the fewest edits is taught, as in
RLMEC (2401.06081): what it changes was wrong, and what was right stays as it was said.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from interp.abilities.allo.edits import edit_distance
from interp.results.errors import BadInput

TEMPLATE = "{problem} {solution} {prediction}"
"""What the rewriting model reads before it writes. Words of your own may stand between."""
_PARTS = {"problem": "", "solution": "", "prediction": ""}


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A prediction and the rewrites of it that are known."""

    problem: str
    solution: str
    """A right answer."""
    prediction: str
    rewrites: tuple[str, ...] = ()
    """Of a teacher, meant to be minimal; the solution is always one more."""
    answer: str | None = None
    """Words that problem and a right text together must hold; None asks for the solution's last."""

    def is_right(self, text: str) -> bool:
        """Whether a text's final answer is right."""
        if self.answer is None:
            return text.split()[-1:] == self.solution.split()[-1:]
        return f" {self.answer} " in f" {self.problem} {text} "

    def minimal(self) -> str | None:
        """The right rewrite with the fewest edits in words, the first of equals; None if none."""
        right = [text for text in (*self.rewrites, self.solution) if self.is_right(text)]
        return min(right, key=self._edits, default=None)

    def _edits(self, text: str) -> int:
        before, after = self.prediction.split(), text.split()
        number = {word: i for i, word in enumerate(dict.fromkeys([*before, *after]))}
        return edit_distance([number[w] for w in before], [number[w] for w in after])


class CorrectionExamples(NamedTuple):
    """Training examples of a rewriting model, and what became of the rows."""

    rows: list[dict[str, str]]
    """{"prompt", "answer"}: the template filled in, and the rewrite."""
    n_rewrites: int
    n_copies: int
    """Predictions that were right already, kept as they are."""
    n_dropped: int
    """Rows without a rewrite whose final answer is right."""


def correction_examples(
    corrections: Iterable[Correction], *, template: str = TEMPLATE, rng: np.random.Generator
) -> CorrectionExamples:
    """One example a row that has a right rewrite.

    Predictions that need no edit are mixed in as copies with probability #rewrites / #rows, so
    that a model which only copies does not win. Raises BadInput if no rewrite is left.
    """
    check_template(template)
    given = list(corrections)
    taught = [(row, row.minimal()) for row in given]
    edited = [text is not None and text != row.prediction for row, text in taught]
    n_rewrites = sum(edited)
    if n_rewrites == 0:
        raise BadInput("no correction has a rewrite with a right final answer that changes it")
    share = n_rewrites / len(given)
    rows, n_copies = [], 0
    for (row, text), is_edit in zip(taught, edited, strict=True):
        if text is None or (not is_edit and rng.random() >= share):
            continue
        n_copies += not is_edit
        rows.append({"prompt": filled(template, row), "answer": text})
    n_dropped = sum(text is None for _, text in taught)
    return CorrectionExamples(rows, n_rewrites, n_copies, n_dropped)


def filled(template: str, row: Correction) -> str:
    """What the rewriting model reads for a row."""
    return template.format(problem=row.problem, solution=row.solution, prediction=row.prediction)


def check_template(template: str) -> None:
    """Raise BadInput unless the template has places for solution and prediction, and no other."""
    try:
        template.format(**_PARTS)
    except (KeyError, IndexError, ValueError) as error:
        raise BadInput(
            f"the template {template!r} is not filled by {', '.join(_PARTS)} alone ({error})"
        ) from error
    missing = [part for part in ("solution", "prediction") if f"{{{part}}}" not in template]
    if missing:
        raise BadInput(f"the template {template!r} has no place for {{{missing[0]}}}")


def read_corrections(path: str | Path) -> list[Correction]:
    """The rows of a jsonl file: prompt, chosen, rejected, and perhaps rewrite and answer.

    `rewrite` is a text or a list of texts. Raises BadInput naming the line that lacks a field.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected jsonl with prompt, chosen and rejected")
    with path.open(encoding="utf-8") as file:
        return [
            correction_of(_parse(line, where), where=where)
            for number, line in enumerate(file, start=1)
            if line.strip()
            for where in [f"{path}, line {number}"]
        ]


def correction_of(row: Mapping[str, Any], *, where: str = "a row") -> Correction:
    """A correction from the fields of a pair. Raises BadInput naming what is missing."""
    for name in ("prompt", "chosen", "rejected"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise BadInput(f"{where} lacks {name!r} as a text")
    rewrite, answer = row.get("rewrite"), row.get("answer")
    rewrites = [rewrite] if isinstance(rewrite, str) else rewrite or []
    if not _are_texts(rewrites) or not (answer is None or isinstance(answer, str)):
        raise BadInput(f"{where}: rewrite is not a text or a list of texts, or answer is no text")
    return Correction(
        problem=row["prompt"],
        solution=row["chosen"],
        prediction=row["rejected"],
        rewrites=tuple(rewrites),
        answer=answer,
    )


def _are_texts(values: Sequence[Any]) -> bool:
    return isinstance(values, list) and all(isinstance(v, str) and v.strip() for v in values)


def _parse(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where} is not an object with prompt, chosen and rejected")
    return row
