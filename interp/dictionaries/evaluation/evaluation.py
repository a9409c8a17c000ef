"""DictionaryEvaluation: what a dictionary keeps of its site, beside what simpler things keep."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from interp.dictionaries.evaluation.measures import MEASURES, NOTE, MeasureKind
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import visible
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.dictionary-evaluation/1"
_BINS_PER_DECADE = 4
_ARRAYS = (
    *("value", "low", "high", "n", "fired", "l0_quantiles"),
    *("nearest", "nearest_null", "encoder_decoder"),
)


@dataclass(frozen=True, kw_only=True)
class ContestantRow:
    """One column of the printed table: what was measured."""

    key: str
    """For machines: `dictionary`, `pca`, `random`, `neurons`, `randomised_model`."""
    title: str
    note: str


@dataclass(frozen=True, kw_only=True)
class SharedFeatures:
    """How many features of the dictionary another one has, and how many by chance."""

    other: str
    """The other dictionary, as given."""
    threshold: float
    """Cosine from which two features are one."""
    n_features: int
    """Features of the dictionary that were ever on."""
    best: Interval
    """Share with any feature of the other at the threshold; Wilson over features."""
    one_to_one: Interval
    """Share whose own partner, no two sharing one, is at the threshold; Wilson over features."""
    mean_cosine: Interval
    """Mean of the largest cosine; 95% t-interval over features."""
    null_best: float
    """`best` with random directions, as many and as wide as the other's."""
    null_permuted: float
    """`best` with the other's axes permuted: its features crowd as before, but elsewhere."""
    null_mean_cosine: float
    """`mean_cosine` with random directions."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, NaN as null."""
        return {key: _plain(value) for key, value in vars(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "SharedFeatures":
        """The inverse of `to_json`."""
        intervals = {key: _interval(content[key]) for key in ("best", "one_to_one", "mean_cosine")}
        return cls(**{**content, **intervals})


@dataclass(frozen=True, kw_only=True)
class DictionaryEvaluation:
    """Measures (columns of the arrays) of a dictionary and its baselines (rows)."""

    dictionary: dict[str, Any]
    """Architecture, widths, sites, model and seed, as the card has them."""
    contestants: tuple[ContestantRow, ...]
    """The dictionary first."""
    measures: tuple[str, ...]
    """Keys of MEASURES."""
    value: Float[np.ndarray, "contestants measures"]
    """NaN where a measure has no meaning or was not asked for."""
    low: Float[np.ndarray, "contestants measures"]
    high: Float[np.ndarray, "contestants measures"]
    """95% intervals, as the measure's definition says."""
    n: Int64[np.ndarray, "contestants measures"]
    """Rows, features or predicted tokens behind the value; 0 where there is none."""
    n_rows: int
    n_sequences: int
    """Sequences of the evaluated rows: what the bootstrap draws from."""
    fired: Int64[np.ndarray, " d_sae"]
    """Rows in which each feature of the dictionary is on."""
    l0_quantiles: Float[np.ndarray, " quantiles"]
    """Smallest, 5%, 25%, 50%, 75%, 95% and largest L0 of a row."""
    nearest: Float32[np.ndarray, " d_sae"]
    """Largest cosine of each decoder row with another; NaN for a zero row."""
    nearest_null: Float32[np.ndarray, " null"]
    """The same of random directions, as many and as wide."""
    encoder_decoder: Float32[np.ndarray, " d_sae"]
    shared: tuple[SharedFeatures, ...]
    statements: tuple[str, ...]
    """What a reader must know: what was left out and why, what was trained on."""
    provenance: Provenance

    def __getitem__(self, measure: str) -> Interval:
        """A measure of the dictionary itself."""
        return self.cell("dictionary", measure)

    @property
    def density(self) -> Float[np.ndarray, " d_sae"]:
        """Share of rows in which each feature is on."""
        return self.fired / max(self.n_rows, 1)

    def density_histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges in log10 of density, quarters of a decade from one row on, and features between.

        Features that were never on have no logarithm, and are in no bin.
        """
        lowest = -int(np.ceil(np.log10(max(self.n_rows, 10))))
        edges = np.linspace(lowest, 0.0, -lowest * _BINS_PER_DECADE + 1)
        alive = np.log10(self.density[self.fired > 0])
        return edges, np.histogram(alive, bins=edges)[0]

    @property
    def kinds(self) -> tuple[MeasureKind, ...]:
        """Unit and definition of every measure."""
        return tuple(MEASURES[key] for key in self.measures)

    def cell(self, contestant: str, measure: str) -> Interval:
        """One value with its interval; NaN where it was not measured."""
        row, column = self._row(contestant), self._column(measure)
        ends = (self.value, self.low, self.high)
        return Interval(*(float(array[row, column]) for array in ends))

    def counted(self, contestant: str, measure: str) -> int:
        """The n behind a cell."""
        return int(self.n[self._row(contestant), self._column(measure)])

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header = {
            "dictionary": self.dictionary,
            "contestants": [asdict(row) for row in self.contestants],
            "measures": [asdict(kind) for kind in self.kinds],
            "n_rows": self.n_rows,
            "n_sequences": self.n_sequences,
            "shared": [shared.to_json() for shared in self.shared],
            "statements": list(self.statements),
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> "DictionaryEvaluation":
        """Read what `save` wrote; CorruptFile if header and data do not fit together."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            found = cls(
                dictionary=header["dictionary"],
                contestants=tuple(ContestantRow(**row) for row in header["contestants"]),
                measures=tuple(MEASURES[kind["key"]].key for kind in header["measures"]),
                n_rows=header["n_rows"],
                n_sequences=header["n_sequences"],
                shared=tuple(SharedFeatures.from_json(s) for s in header["shared"]),
                statements=tuple(header["statements"]),
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{path} is not a whole evaluation ({error})") from error
        if found.value.shape != (len(found.contestants), len(found.measures)):
            raise CorruptFile(f"{path}: {found.value.shape} values for its rows and measures")
        return found

    def to_json(self) -> dict[str, Any]:
        """The table for machines: by contestant and measure, value, interval and n."""
        return {
            "dictionary": self.dictionary,
            "table": {
                row.key: {
                    key: {"value": _plain(cell.value), "interval": _plain(cell)[1:], "n": n}
                    for key in self.measures
                    for cell, n in [(self.cell(row.key, key), self.counted(row.key, key))]
                    if n > 0
                }
                for row in self.contestants
            },
            "contestants": {row.key: row.note for row in self.contestants},
            "definitions": {kind.key: kind.definition for kind in self.kinds},
            "density": {
                "log10_edges": self.density_histogram()[0].tolist(),
                "features": self.density_histogram()[1].tolist(),
                "dead": int((self.fired == 0).sum()),
            },
            "l0_quantiles": [_plain(float(value)) for value in self.l0_quantiles],
            "nearest_decoder_cosine_null": _plain(_mean(self.nearest_null)),
            "n_rows": self.n_rows,
            "n_sequences": self.n_sequences,
            "shared": [shared.to_json() for shared in self.shared],
            "statements": list(self.statements),
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines of the printed table: measure, n of the dictionary, the columns."""
        heading = ["measure", "n", *(row.title for row in self.contestants)]
        lines = []
        for kind in self.kinds:
            cells = [self.cell(row.key, kind.key) for row in self.contestants]
            n = [self.counted(row.key, kind.key) for row in self.contestants]
            if any(n):
                own = f"{n[0]:,} {kind.counted}" if n[0] else "-"
                lines.append([kind.title, own, *map(_cell_text, cells)])
        return heading, lines

    def notes(self) -> list[str]:
        """What stands under the table."""
        columns = [f"{row.title}: {row.note}{self._other_n(row)}" for row in self.contestants]
        null = f"Nearest decoder neighbour of random directions: {_mean(self.nearest_null):.3f}."
        shared = [shared_text(found) for found in self.shared]
        return [visible(text, limit=len(text))
                for text in (NOTE, null, *columns, *shared, *self.statements)]  # fmt: skip

    def __str__(self) -> str:
        """The table and its notes, for a terminal that is as wide as it takes."""
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())

    def _other_n(self, row: ContestantRow) -> str:
        """Where a contestant's n is not the dictionary's, which stands in the table."""
        pairs = [
            (kind, self.counted(row.key, kind.key), self.counted(self.contestants[0].key, kind.key))
            for kind in self.kinds
        ]
        differing = dict.fromkeys(f"{n:,} {kind.counted}" for kind, n, own in pairs if 0 < n != own)
        return f"; n {', '.join(differing)}" if differing else ""

    def _row(self, key: str) -> int:
        return _position(key, [row.key for row in self.contestants], "contestant")

    def _column(self, key: str) -> int:
        return _position(key, list(self.measures), "measure")


def shared_text(found: SharedFeatures) -> str:
    """The shared features in a sentence."""
    return (
        f"{found.best.value:.3f} [{found.best.low:.3f}, {found.best.high:.3f}] of the "
        f"{found.n_features:,} features that are ever on have one in {found.other} at cosine "
        f"{found.threshold} (one to one {found.one_to_one.value:.3f}; random directions "
        f"{found.null_best:.3f}, its axes permuted {found.null_permuted:.3f}); mean largest cosine "
        f"{found.mean_cosine.value:.3f} (random {found.null_mean_cosine:.3f})"
    )


def _position(key: str, keys: list[str], what: str) -> int:
    if key not in keys:
        raise BadInput(f"no {what} {key!r} in this evaluation: it has {', '.join(keys)}")
    return keys.index(key)


def _cell_text(cell: Interval) -> str:
    if np.isnan(cell.value):
        return "-"
    digits = 3 if abs(cell.value) >= 0.01 or cell.value == 0 else 5
    value = f"{cell.value:,.{digits}f}"
    if np.isnan(cell.low):
        return value
    return f"{value} [{cell.low:,.{digits}f}, {cell.high:,.{digits}f}]"


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _interval(ends: list[float | None]) -> Interval:
    return Interval(*(float("nan") if end is None else float(end) for end in ends))
