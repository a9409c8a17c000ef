"""Evaluation: several models on the same items, every answer kept, accuracy by task and language.

from interp.evaluation.evaluation import Evaluation
table = Evaluation.load(path)
print(table.text_table())
table.accuracy("polyglot", table.cells[0])     # a share with Wilson's interval
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from safetensors.numpy import save_file

from interp.evaluation.paired import PairedTest
from interp.evaluation.protocol import Protocol
from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import visible
from interp.results.finding import DATA, load_finding, write_header
from interp.results.hashing import sha256_file
from interp.results.intervals import Interval, wilson
from interp.results.provenance import Provenance
from interp.results.tables import columns_aligned

SCHEMA = "interp.evaluation/1"
ANSWERS = "answers.jsonl"
"""What every model said to every item, one item a line."""
LEVEL = 0.05
_ARRAYS = ("correct", "truncated", "margin", "margin_per_byte")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The items of one task in one language."""

    task: str
    language: str
    n: int
    null: float
    """Share right without reading the prompt: the commonest answer, or a guess among choices."""

    @property
    def key(self) -> str:
        """`task/language`: the column of a paired test."""
        return f"{self.task}/{self.language}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is kept of an item: enough to read an answer by."""

    id: str
    task: str
    language: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Right and wrong of every model on every item; the first model is what others are tested
    against."""

    models: tuple[str, ...]
    """As they were named; no two alike."""
    questions: tuple[Question, ...]
    protocol: Protocol
    cells: tuple[Cell, ...]
    said: tuple[tuple[str, ...], ...]
    """By model, then by question, as `Answers.said`."""
    correct: Bool[np.ndarray, "models items"]
    truncated: Bool[np.ndarray, "models items"]
    """Answers that had not ended when their tokens were spent; they count as wrong."""
    margin: Float[np.ndarray, "models items"]
    """As `Answers.margin`; NaN unless choices were scored."""
    margin_per_byte: Float[np.ndarray, "models items"]
    tests: tuple[PairedTest, ...]
    """Every model but the first, against the first, in every cell; Holm over all of them."""
    provenance: Provenance

    def __post_init__(self) -> None:
        shape = (len(self.models), len(self.questions))
        lengths = {len(said) for said in self.said}
        if self.correct.shape != shape or len(self.said) != shape[0] or lengths - {shape[1]}:
            raise BadInput(f"{shape[0]} models on {shape[1]} items need as many answers")

    def items_in(self, cell: Cell) -> Bool[np.ndarray, " items"]:
        """Which items the cell stands on."""
        return np.array(
            [(q.task, q.language) == (cell.task, cell.language) for q in self.questions], dtype=bool
        )

    def accuracy(self, model: str, cell: Cell) -> Interval:
        """Share right with Wilson's interval."""
        right = self.correct[self.place(model), self.items_in(cell)]
        return wilson(int(right.sum()), len(right))

    def n_truncated(self, model: str) -> int:
        """Answers that had not ended."""
        return int(self.truncated[self.place(model)].sum())

    def test(self, model: str, cell: Cell) -> PairedTest:
        """The model against the first: `difference` is its accuracy less the first's."""
        for test in self.tests:
            if (test.first, test.column) == (model, cell.key):
                return test
        raise BadInput(f"no test of {model!r} in {cell.key!r}")

    def place(self, model: str) -> int:
        """Which row of the arrays a model is. Raises BadInput naming the models there are."""
        if model not in self.models:
            raise BadInput(f"no model {model!r} in this evaluation: it has {self.models}")
        return self.models.index(model)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        with atomic_directory(path, replace=overwrite) as directory:
            lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in self._lines())
            (directory / ANSWERS).write_text("".join(lines), encoding="utf-8")
            save_file({name: getattr(self, name) for name in _ARRAYS}, directory / DATA)
            header = {
                "models": list(self.models),
                "protocol": self.protocol.to_json(),
                "cells": [asdict(cell) for cell in self.cells],
                "answers_sha256": sha256_file(directory / ANSWERS),
                "tests": [test.to_json() for test in self.tests],
                "provenance": self.provenance.to_json(),
            }
            write_header(directory, schema=SCHEMA, header=header)
        return path

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        """Read what `save` wrote; CorruptFile if its files do not fit together."""
        header, arrays = load_finding(path, schema=SCHEMA)
        try:
            models = tuple(header["models"])
            lines = _read_answers(path / ANSWERS, header["answers_sha256"])
            fields = Question.__dataclass_fields__
            return cls(
                models=models,
                questions=tuple(
                    Question(**{name: line[name] for name in fields}) for line in lines
                ),
                protocol=Protocol.from_json(header["protocol"]),
                cells=tuple(Cell(**cell) for cell in header["cells"]),
                said=tuple(tuple(line["said"][model] for line in lines) for model in models),
                tests=tuple(PairedTest.from_json(test) for test in header["tests"]),
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError, BadInput) as error:
            raise CorruptFile(f"{path} is not a whole evaluation ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """Accuracies with their intervals, tests and counts: for machines."""
        return {
            "models": list(self.models),
            "protocol": self.protocol.to_json(),
            "cells": [
                {
                    **asdict(cell),
                    "accuracy": {model: list(self.accuracy(model, cell)) for model in self.models},
                    **self._both_choice_rules(cell),
                }
                for cell in self.cells
            ],
            "truncated": {model: self.n_truncated(model) for model in self.models},
            "tests": [test.to_json() | {"smallest_p": test.smallest_p} for test in self.tests],
        }

    def text_table(self) -> str:
        """Cells by models for a terminal, with what must be known to read it."""
        rows = [self._heading(), *(self._row(cell) for cell in self.cells)]
        return "\n".join([columns_aligned(rows), "", *self.notes()])

    def notes(self) -> list[str]:
        """How to read the accuracies, what the mark means, what was cut off."""
        by_chance = (
            "a guess among the choices" if self.protocol.is_choice else "the commonest answer"
        )
        said = (
            "95% Wilson intervals over items: they do not cover another training run. By chance: "
            f"{by_chance}."
        )
        return [said, *self.test_notes()]

    def test_notes(self) -> list[str]:
        """What the mark means, which tests could not succeed, which answers were cut off."""
        said = []
        if self.tests:
            said.append(
                f"* differs from {self.models[0]}: exact McNemar on the same items, Holm over "
                f"{len(self.tests)} tests, p < {LEVEL}."
            )
        if hopeless := sum(test.smallest_p >= LEVEL for test in self.tests):
            said.append(
                f"In {hopeless} of {len(self.tests)} tests five or fewer items differ, so that no "
                f"outcome could have given p < {LEVEL}."
            )
        said += [
            f"{model}: {n} of {len(self.questions)} answers had not ended within "
            f"{self.protocol.max_new_tokens} tokens and count as wrong."
            for model in self.models
            if (n := self.n_truncated(model))
        ]
        return [visible(line, limit=len(line)) for line in said]

    def _heading(self) -> list[str]:
        return ["task", "language", "n", "by chance", *self.models]

    def _row(self, cell: Cell) -> list[str]:
        shown = [f"{self.accuracy(model, cell)}{self._mark(model, cell)}" for model in self.models]
        return [cell.task, cell.language, str(cell.n), f"{cell.null:.3f}", *shown]

    def _mark(self, model: str, cell: Cell) -> str:
        if model == self.models[0]:
            return ""
        return " *" if self.test(model, cell).p_holm < LEVEL else ""

    def _both_choice_rules(self, cell: Cell) -> dict[str, Any]:
        """Accuracy under both ways to compare choices, whichever of them the protocol names."""
        if not self.protocol.is_choice:
            return {}
        chosen = self.items_in(cell)
        margins = {"by_sum": self.margin, "by_byte": self.margin_per_byte}
        return {
            name: {
                model: float((margin[row, chosen] > 0).mean())
                for row, model in enumerate(self.models)
            }
            for name, margin in margins.items()
        }

    def _lines(self) -> list[dict[str, Any]]:
        return [
            {
                **asdict(question),
                "said": {m: self.said[row][item] for row, m in enumerate(self.models)},
                "correct": {m: bool(self.correct[row, item]) for row, m in enumerate(self.models)},
            }
            for item, question in enumerate(self.questions)
        ]


def _read_answers(file: Path, digest: str) -> list[Mapping[str, Any]]:
    if not file.is_file() or sha256_file(file) != digest:
        raise CorruptFile(f"{file} is missing or was altered: make the evaluation again")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
