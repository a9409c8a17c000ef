"""Comparison: several models on the same items, with intervals, paired tests and what they say."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.evaluation.paired import PairedTest
from interp.evaluation.shares import mean_of_shares
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text, visible
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval, wilson
from interp.results.provenance import Provenance

SCHEMA = "interp.comparison/1"
NOTE = (
    "95% intervals over test items: they do not cover another training run. Cells weigh languages "
    "equally; paired tests pool the items of a column. Shares changed are counts, not estimates."
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """Which items a column of the table stands on, and how languages are put together."""

    key: str
    """For machines: `target`, `general`, `general_worst`."""
    title: str
    tasks: tuple[str, ...]
    languages: tuple[str, ...]
    statistic: Literal["mean", "worst"]
    """`mean`: every language counts the same. `worst`: the language with the lowest accuracy."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the table."""

    key: str
    """For machines: `base`, `transfer`, `task_arithmetic`."""
    title: str
    share_changed: float | None
    """Entries whose value differs from the base's, over all entries: a count, 0 to 1. None where
    the model is not a change of the base."""
    setting: dict[str, float]
    """The scales chosen on the validation split; empty where there is nothing to choose."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The table of models (rows) by groups of items (columns), derived from every single answer."""

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    item_ids: tuple[str, ...]
    item_tasks: tuple[str, ...]
    item_languages: tuple[str, ...]
    correct: Bool[np.ndarray, "rows items"]
    reference: str
    """Key of the row that the paired tests hold against the others."""
    tests: tuple[PairedTest, ...]
    statements: tuple[str, ...]
    """Which differences the table supports, and which it does not."""
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.correct.shape != (len(self.rows), len(self.item_ids)):
            raise BadInput(
                f"a comparison of {len(self.rows)} models on {len(self.item_ids)} items needs as "
                f"many answers, not {self.correct.shape}"
            )
        if not len(self.item_ids) == len(self.item_tasks) == len(self.item_languages):
            raise BadInput("every item of a comparison needs an id, a task and a language")

    @property
    def value(self) -> Float[np.ndarray, "rows columns"]:
        """Accuracy of every model in every column, 0 to 1."""
        return self._table()[..., 0]

    @property
    def low(self) -> Float[np.ndarray, "rows columns"]:
        """Lower end of the 95% interval."""
        return self._table()[..., 1]

    @property
    def high(self) -> Float[np.ndarray, "rows columns"]:
        """Upper end of the 95% interval."""
        return self._table()[..., 2]

    @property
    def n(self) -> Int[np.ndarray, " columns"]:
        """Items in each column, over all its languages."""
        return np.array([int(self.items_in(column).sum()) for column in self.columns])

    @property
    def share_changed(self) -> Float[np.ndarray, " rows"]:
        """Share of entries changed against the base; NaN where the model is no change of it."""
        shares = [row.share_changed for row in self.rows]
        return np.array([np.nan if share is None else share for share in shares], dtype=np.float64)

    def items_in(self, column: Column) -> Bool[np.ndarray, " items"]:
        """Which items the column stands on."""
        return self._where(column.tasks, column.languages)

    def cell(self, row: str, column: str) -> Interval:
        """Accuracy with its interval: Wilson within a language, `mean_of_shares` over several.

        The worst language's interval is its own; being chosen as the lowest, it leans low.
        """
        where = self.columns[self._column(column)]
        if where.statistic == "worst":
            return self.accuracy(row, where.tasks, self.worst_language(row, column))
        counts = [self._count(row, where.tasks, language) for language in where.languages]
        return mean_of_shares(*np.array(counts, dtype=np.int64).reshape(-1, 2).T)

    def accuracy(self, row: str, tasks: tuple[str, ...], language: str) -> Interval:
        """Accuracy of one model on some tasks in one language, with Wilson's interval."""
        return wilson(*self._count(row, tasks, language))

    def worst_language(self, row: str, column: str) -> str:
        """The language of the column in which the model is least often right; first if several."""
        where = self.columns[self._column(column)]
        shares = [self.accuracy(row, where.tasks, lang).value for lang in where.languages]
        return where.languages[int(np.argmin(shares))]

    def test(self, second: str, column: str) -> PairedTest:
        """The paired test of the reference against the row `second`."""
        for test in self.tests:
            if (test.second, test.column) == (second, column):
                return test
        raise BadInput(f"no test of {self.reference!r} against {second!r} in column {column!r}")

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header = {
            "rows": [asdict(row) for row in self.rows],
            "columns": [asdict(column) for column in self.columns],
            "items": {
                "id": list(self.item_ids),
                "task": list(self.item_tasks),
                "language": list(self.item_languages),
            },
            "reference": self.reference,
            "tests": [test.to_json() for test in self.tests],
            "statements": list(self.statements),
            "provenance": self.provenance.to_json(),
        }
        arrays = {"correct": self.correct}
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path) -> "Comparison":
        """Read what `save` wrote; CorruptFile if header and data do not fit together."""
        header, arrays = load_finding(path, schema=SCHEMA)
        try:
            return cls(
                rows=tuple(Row(**row) for row in header["rows"]),
                columns=tuple(_column(column) for column in header["columns"]),
                item_ids=tuple(header["items"]["id"]),
                item_tasks=tuple(header["items"]["task"]),
                item_languages=tuple(header["items"]["language"]),
                correct=arrays["correct"],
                reference=header["reference"],
                tests=tuple(PairedTest.from_json(test) for test in header["tests"]),
                statements=tuple(header["statements"]),
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError, BadInput) as error:
            raise CorruptFile(f"{path} is not a whole comparison ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The table for machines: per column the cells by row, then tests and statements."""
        return {
            column.key: {row.key: _finite(self.cell(row.key, column.key)) for row in self.rows}
            for column in self.columns
        } | {
            "share_changed": {row.key: row.share_changed for row in self.rows},
            "settings": {row.key: row.setting for row in self.rows},
            "n": {column.key: int(n) for column, n in zip(self.columns, self.n, strict=True)},
            "tests": [test.to_json() for test in self.tests],
            "statements": list(self.statements),
        }

    def text_table(self) -> str:
        """The table for a terminal, with the statements under it."""
        lines = [[_shown(cell) for cell in line] for line in (self._heading(), *self._lines())]
        widths = [max(len(cell) for cell in cells) for cells in zip(*lines, strict=True)]
        table = (
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        return "\n".join([*table, "", NOTE, *(_shown(text) for text in self.statements)])

    def _heading(self) -> list[str]:
        counts = zip(self.columns, self.n, strict=True)
        return ["model", *(f"{column.title} (n={n})" for column, n in counts), "entries changed"]

    def _lines(self) -> list[list[str]]:
        return [
            [row.title, *(self._cell_text(row, column) for column in self.columns), _share(row)]
            for row in self.rows
        ]

    def _cell_text(self, row: Row, column: Column) -> str:
        text = str(self.cell(row.key, column.key))
        worst = column.statistic == "worst"
        return f"{text} {self.worst_language(row.key, column.key)}" if worst else text

    def _repr_html_(self) -> str:
        head, *body = [self._heading(), *self._lines()]
        cells = "".join(f"<th>{html_text(cell)}</th>" for cell in head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in line) + "</tr>"
            for line in body
        )
        under = "".join(f"<p>{html_text(text)}</p>" for text in (NOTE, *self.statements))
        return f"<table><tr>{cells}</tr>{rows}</table>{under}"

    def _where(
        self, tasks: tuple[str, ...], languages: tuple[str, ...]
    ) -> Bool[np.ndarray, " items"]:
        of_task = np.isin(np.array(self.item_tasks), tasks)
        return of_task & np.isin(np.array(self.item_languages), languages)

    def _table(self) -> Float[np.ndarray, "rows columns 3"]:
        cells = [[self.cell(row.key, col.key) for col in self.columns] for row in self.rows]
        return np.array(cells, dtype=np.float64).reshape(len(self.rows), len(self.columns), 3)

    def _row(self, key: str) -> int:
        return _position(key, [row.key for row in self.rows], "row")

    def _column(self, key: str) -> int:
        return _position(key, [column.key for column in self.columns], "column")

    def _count(self, row: str, tasks: tuple[str, ...], language: str) -> tuple[int, int]:
        """Right answers, items."""
        chosen = self._where(tasks, (language,))
        return int(self.correct[self._row(row), chosen].sum()), int(chosen.sum())


def _position(key: str, keys: list[str], what: str) -> int:
    if key not in keys:
        raise BadInput(f"no {what} {key!r} in this comparison: it has {', '.join(keys)}")
    return keys.index(key)


def _column(content: dict[str, Any]) -> Column:
    lists: dict[str, Any] = {name: tuple(content[name]) for name in ("tasks", "languages")}
    return Column(**(content | lists))


def _finite(interval: Interval) -> list[float | None]:
    return [None if np.isnan(x) else float(x) for x in interval]


def _shown(text: str) -> str:
    return visible(text, limit=len(text))


def _share(row: Row) -> str:
    return "-" if row.share_changed is None else f"{row.share_changed:.3f}"
