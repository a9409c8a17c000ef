"""HeadScores: what every detector says of every head of one model, beside chance."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata

from interp.heads.columns import Column, Head
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance
from interp.results.tables import html_table

SCHEMA = "interp.head-scores/1"
ARRAYS = (
    *("score", "null_mean", "null_sd", "z", "p", "p_adj", "q", "ci_low", "ci_high"),
    *("n_events", "n_sequences"),
)
HEADING = ("column", "head", "score", "95% interval", "by chance", "z", "p adj", "q", "sequences")
Corrected = Literal["p_adj", "q", "p"]


class Agreement(NamedTuple):
    """How alike two findings rank the heads in one column."""

    spearman: float
    """Over heads tested in both; NaN below three of them, or where one is constant."""
    jaccard: float
    """Of the best `k` heads of each; NaN where either has fewer than `k`."""
    k: int
    n_heads: int
    """Heads tested in both."""


@dataclass(frozen=True, kw_only=True)
class HeadScores:
    """Scores of every head in every column, with the null, the interval and p; NaN: not tested."""

    columns: tuple[Column, ...]
    score: Float[np.ndarray, "layers heads columns"]
    null_mean: Float[np.ndarray, "layers heads columns"]
    null_sd: Float[np.ndarray, "layers heads columns"]
    z: Float[np.ndarray, "layers heads columns"]
    """The score less the mean, over the standard deviation, of the draws and the score together:
    as if it were one more draw, so at most sqrt(draws). `null_mean` and `null_sd` are of the draws
    alone. A detector whose null is a known distribution says so."""
    p: Float[np.ndarray, "layers heads columns"]
    """One-sided, (1 + draws as high) / (1 + draws), of each head by itself."""
    p_adj: Float[np.ndarray, "layers heads columns"]
    """Family-wise by the largest z of each draw (Westfall and Young 1993), over all heads and all
    columns of the detector."""
    q: Float[np.ndarray, "layers heads columns"]
    """`p` with the false discovery rate controlled over the same family."""
    ci_low: Float[np.ndarray, "layers heads columns"]
    ci_high: Float[np.ndarray, "layers heads columns"]
    """95% percentile bootstrap over sequences; NaN where nothing was sampled."""
    n_events: Float[np.ndarray, "layers heads columns"]
    n_sequences: Float[np.ndarray, "layers heads columns"]
    provenance: Provenance
    extras: dict[str, Float[np.ndarray, "layers heads columns"]] = field(default_factory=dict)
    """Further arrays, NaN in the columns they are not for."""
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By column: what was left out and why; JSON values."""
    settings: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Int[np.ndarray, " _"]] = field(default_factory=dict)
    """By corpus hash: digests of the documents that were read, to tell them again elsewhere."""

    def __post_init__(self) -> None:
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadInput(f"two columns are named {', '.join(twice)}: each needs its own name")
        for column in self.columns:
            if column.above_zero is not None and column.above_zero not in list(self.extras):
                raise BadInput(f"{column.name} asks for {column.above_zero!r}, which is no extra")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def n_layers(self) -> int:
        """Layers of the model."""
        return self.score.shape[0]

    @property
    def n_heads(self) -> int:
        """Heads of a layer."""
        return self.score.shape[1]

    def column(self, name: str) -> int:
        """The index of a column; BadInput naming those there are."""
        if name not in self.names:
            raise BadInput(f"no column {name!r}: there are {', '.join(self.names)}")
        return self.names.index(name)

    def array(self, array: str, column: str) -> Float[np.ndarray, "layers heads"]:
        """One array of one column (`score`, `p_adj`, or an extra such as `rate`)."""
        if array not in ARRAYS and array not in self.extras:
            known = ", ".join([*ARRAYS, *self.extras])
            raise BadInput(f"no array {array!r}: there are {known}")
        values = self.extras[array] if array in self.extras else getattr(self, array)
        return values[..., self.column(column)]

    def tested(self, column: str) -> Bool[np.ndarray, "layers heads"]:
        """Which heads have a score."""
        return ~np.isnan(self.array("score", column))

    def top(self, column: str, k: int = 10) -> list[Head]:
        """The `k` tested heads with the highest scores, highest first; ties by layer and head."""
        score = self.array("score", column).ravel()
        order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
        return [self._head(int(i)) for i in order[:k] if not np.isnan(score[i])]

    def significant(
        self, column: str, *, alpha: float = 0.05, by: Corrected = "p_adj"
    ) -> list[Head]:
        """Heads whose `by` is below `alpha`, highest score first.

        In a column that says so (`above_zero`, as those of relations do), that extra is above 0
        too.
        """
        chosen = np.nan_to_num(self.array(by, column), nan=1.0) < alpha
        extra = self.columns[self.column(column)].above_zero
        if extra is not None:
            chosen &= np.nan_to_num(self.array(extra, column), nan=-1.0) > 0
        return [head for head in self.top(column, chosen.size) if chosen[head]]

    def compare(self, other: "HeadScores", *, k: int = 10) -> dict[str, Agreement]:
        """How alike both rank the heads, by column that both have; Mismatch for other shapes."""
        if self.score.shape[:2] != other.score.shape[:2]:
            raise Mismatch(
                f"{self.n_layers} layers of {self.n_heads} heads against {other.n_layers} of "
                f"{other.n_heads}: compare models of one shape"
            )
        shared = [name for name in self.names if name in other.names]
        return {name: self._agreement(other, name, k) for name in shared}

    def _agreement(self, other: "HeadScores", name: str, k: int) -> Agreement:
        both = self.tested(name) & other.tested(name)
        a, b = self.array("score", name)[both], other.array("score", name)[both]
        varied = len(a) > 2 and bool(np.ptp(a) > 0) and bool(np.ptp(b) > 0)
        rho = float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]) if varied else float("nan")
        best, others = set(self.top(name, k)), set(other.top(name, k))
        enough = min(len(best), len(others)) == k
        jaccard = len(best & others) / len(best | others) if enough else float("nan")
        return Agreement(rho, jaccard, k, int(both.sum()))

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {f"extra.{name}": values for name, values in self.extras.items()}
        arrays |= {f"documents.{fed}": values for fed, values in self.documents.items()}
        header = {
            "columns": [column.to_json() for column in self.columns],
            "extras": list(self.extras),
            "notes": self.notes,
            "settings": self.settings,
            "documents": list(self.documents),
            "provenance": self.provenance.to_json(),
        }
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "HeadScores":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                columns=tuple(Column.from_json(entry) for entry in header["columns"]),
                **{name: arrays[name] for name in ARRAYS},
                extras={name: arrays[f"extra.{name}"] for name in header["extras"]},
                notes=header["notes"],
                settings=header["settings"],
                documents={fed: arrays[f"documents.{fed}"] for fed in header.get("documents", ())},
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} lacks or garbles {error}: score the heads again") from error

    def table(self, k: int = 3) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Heading and lines: the best `k` heads of every column."""
        lines = []
        for name in self.names:
            heads = self.top(name, k)
            lines += [self._line(name, head) for head in heads]
            if not heads:
                lines.append((name, "none tested", *[""] * (len(HEADING) - 2)))
        return HEADING, lines

    def to_json(self, k: int = 10) -> dict[str, Any]:
        """Every column with its best `k` heads and its significant ones; NaN becomes null."""
        return {
            "n_layers": self.n_layers,
            "n_heads": self.n_heads,
            "columns": [
                {
                    **column.to_json(),
                    "n_tested": int(self.tested(column.name).sum()),
                    "significant": [str(head) for head in self.significant(column.name)],
                    "top": [self._entry(column.name, head) for head in self.top(column.name, k)],
                    "notes": self.notes.get(column.name, {}),
                }
                for column in self.columns
            ],
        }

    def _head(self, flat: int) -> Head:
        return Head(*divmod(int(flat), self.n_heads))

    def _entry(self, name: str, head: Head) -> dict[str, Any]:
        values = {array: float(self.array(array, name)[head]) for array in (*ARRAYS, *self.extras)}
        known = {array: None if np.isnan(value) else value for array, value in values.items()}
        return {"head": str(head), **known}

    def _line(self, name: str, head: Head) -> tuple[str, ...]:
        get: Callable[[str], float] = lambda array: float(self.array(array, name)[head])  # noqa: E731
        return (
            name,
            str(head),
            _number(get("score")),
            "-" if np.isnan(get("ci_low")) else f"{get('ci_low'):.3f} to {get('ci_high'):.3f}",
            _number(get("null_mean")),
            _number(get("z"), ".1f"),
            _number(get("p_adj"), ".2g"),
            _number(get("q"), ".2g"),
            _number(get("n_sequences"), ".0f"),
        )

    def __repr__(self) -> str:
        return (
            f"HeadScores({self.n_layers} layers of {self.n_heads} heads: {', '.join(self.names)})"
        )

    def _repr_html_(self) -> str:
        heading, lines = self.table()
        return html_table(heading, lines, [repr(self)])


def _number(value: float, form: str = ".3f") -> str:
    return "-" if np.isnan(value) else format(value, form)
