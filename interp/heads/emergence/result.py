"""HeadEmergence: curves of heads and of in-context learning over training, and when they change.

found = HeadEmergence.load("emergence")
print(found)
found.change("used-for L1H2 per_opportunity"), found.lags
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Head
from interp.heads.emergence.timing import ChangePoint, Lag
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.head-emergence/1"
CurveKind = Literal["head", "heads", "level", "ablated", "random", "icl"]
ARRAYS = ("score", "null_mean", "p_adj", "rate", "strength", "per_opportunity")
_CURVES = ("value", "low", "high")
_TURNOVER = ("spearman", "jaccard")


@dataclass(frozen=True, kw_only=True)
class CurveFacts:
    """What one curve is of."""

    name: str
    kind: CurveKind
    """A `head`; a relation's chosen `heads` together; a `level` of answers to its questions; the
    level with the heads `ablated`, or with `random` heads of the same layers; a level of `icl`."""
    relation: str | None
    heads: tuple[str, ...]
    statistic: str
    sample: str
    n: int
    """Documents, prompts or sequences that the interval is over."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A head that was chosen at the last checkpoint, on sequences that are not traced."""

    relation: str
    layer: int
    head: int
    score: float | None
    """None where the head was named and is not tested there."""
    p_adj: float | None

    @property
    def name(self) -> str:
        """`L1H2`."""
        return str(Head(self.layer, self.head))


@dataclass(frozen=True, kw_only=True)
class HeadEmergence:
    """Every head's scores at every checkpoint, and the chosen ones' curves with change points."""

    series: str
    steps: tuple[int, ...]
    model_hashes: tuple[str | None, ...]
    relations: tuple[str, ...]
    preset: str
    chosen: tuple[Chosen, ...]
    crowded: tuple[str, ...]
    """Relations whose random groups could not do without chosen heads."""
    n_choosing: int
    """Sequences of the half on which heads were chosen."""
    n_tracing: int
    score: Float[np.ndarray, "steps layers heads relations"]
    null_mean: Float[np.ndarray, "steps layers heads relations"]
    p_adj: Float[np.ndarray, "steps layers heads relations"]
    rate: Float[np.ndarray, "steps layers heads relations"]
    strength: Float[np.ndarray, "steps layers heads relations"]
    per_opportunity: Float[np.ndarray, "steps layers heads relations"]
    k: int
    """Heads compared by `jaccard`."""
    spearman: Float[np.ndarray, "steps relations"]
    """Rank correlation of all heads' scores with the last checkpoint's."""
    jaccard: Float[np.ndarray, "steps relations"]
    """Of the k best heads with the last checkpoint's: early and mature heads need not be the
    same."""
    curves: tuple[CurveFacts, ...]
    value: Float[np.ndarray, "curves steps"]
    low: Float[np.ndarray, "curves steps"]
    high: Float[np.ndarray, "curves steps"]
    """95% bootstrap over the curve's sample."""
    changes: tuple[ChangePoint, ...]
    """One a curve, in their order."""
    lags: tuple[Lag, ...]
    """Of each relation's heads behind each level. Co-timing is not cause: see the curves of kind
    `ablated`."""
    provenance: Provenance

    def curve(self, name: str) -> int:
        """Place of a curve; BadInput naming those there are."""
        names = [curve.name for curve in self.curves]
        if name not in names:
            raise BadInput(f"no curve {name!r}: there are {', '.join(names)}")
        return names.index(name)

    def change(self, name: str) -> ChangePoint:
        """The change point of a curve."""
        return self.changes[self.curve(name)]

    def of_kind(self, *kinds: CurveKind) -> list[int]:
        """Places of the curves of some kinds."""
        return [i for i, curve in enumerate(self.curves) if curve.kind in kinds]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: a curve each."""
        heading = ["curve", "first", "last", "95% interval", "change between", "95% of the change",
                   "from", "to", "draws with a change"]  # fmt: skip
        lines = []
        for i, (curve, change) in enumerate(zip(self.curves, self.changes, strict=True)):
            jumps = change.kind == "change"
            lines.append(
                [
                    curve.name,
                    _text(self.value[i, 0]),
                    _text(self.value[i, -1]),
                    f"[{_text(self.low[i, -1])}, {_text(self.high[i, -1])}]",
                    f"{change.step_before}-{change.step_after}{'~' * change.drifts}"
                    if jumps
                    else change.kind,
                    f"[{change.low}, {change.high}]" if jumps else "-",
                    _text(change.before) if jumps else "-",
                    _text(change.after) if jumps else "-",
                    f"{change.share_change:.2f}",
                ]
            )
        return heading, lines

    def notes(self) -> list[str]:
        """What stands under the table."""
        heads = {r: [c.name for c in self.chosen if c.relation == r] for r in self.relations}
        lines = [
            f"Heads chosen at step {self.steps[-1]} on {self.n_choosing} sequences, traced on "
            f"{self.n_tracing} others: "
            + "; ".join(f"{r}: {', '.join(names) or 'none'}" for r, names in heads.items())
            + ".",
            "A change is two levels with a jump, where that describes the curve better (BIC) than "
            "one level; ~ where a straight drift is better still: a long rise, changing in its "
            "middle.",
        ]
        if self.crowded:
            lines.append(
                f"Random groups hold chosen heads too for {', '.join(self.crowded)}: their layers "
                "have too few others."
            )
        lines += [_lag_note(lag) for lag in self.lags]
        for r, relation in enumerate(self.relations):
            lines.append(
                f"{relation}: all heads ranked as at the last checkpoint (Spearman) "
                f"{_path(self.spearman[:, r])}; of its {self.k} best (Jaccard) "
                f"{_path(self.jaccard[:, r])}."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """Curves, change points and lags for machines; NaN as null."""
        return {
            "series": self.series,
            "steps": list(self.steps),
            "relations": list(self.relations),
            "preset": self.preset,
            "chosen": [asdict(chosen) for chosen in self.chosen],
            "crowded": list(self.crowded),
            "n_choosing": self.n_choosing,
            "n_tracing": self.n_tracing,
            "curves": [
                {
                    **asdict(curve),
                    **{name: _plain(getattr(self, name)[i]) for name in _CURVES},
                    "change": self.changes[i].to_json(),
                }
                for i, curve in enumerate(self.curves)
            ],
            "lags": [lag.to_json() for lag in self.lags],
            "k": self.k,
            **{name: _plain(getattr(self, name)) for name in _TURNOVER},
        }

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "series": self.series,
            "steps": list(self.steps),
            "model_hashes": list(self.model_hashes),
            "relations": list(self.relations),
            "preset": self.preset,
            "chosen": [asdict(chosen) for chosen in self.chosen],
            "crowded": list(self.crowded),
            "n_choosing": self.n_choosing,
            "n_tracing": self.n_tracing,
            "k": self.k,
            "curves": [asdict(curve) for curve in self.curves],
            "changes": [change.to_json() for change in self.changes],
            "lags": [lag.to_json() for lag in self.lags],
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in (*ARRAYS, *_TURNOVER, *_CURVES)}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "HeadEmergence":
        """A saved finding. CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                series=header["series"],
                preset=header["preset"],
                n_choosing=header["n_choosing"],
                n_tracing=header["n_tracing"],
                k=header["k"],
                steps=tuple(header["steps"]),
                model_hashes=tuple(header["model_hashes"]),
                relations=tuple(header["relations"]),
                crowded=tuple(header["crowded"]),
                chosen=tuple(Chosen(**chosen) for chosen in header["chosen"]),
                curves=tuple(
                    CurveFacts(**{**curve, "heads": tuple(curve["heads"])})
                    for curve in header["curves"]
                ),
                changes=tuple(ChangePoint(**change) for change in header["changes"]),
                lags=tuple(Lag(**lag) for lag in header["lags"]),
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in (*ARRAYS, *_TURNOVER, *_CURVES)},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFile(
                f"{path} lacks or garbles {error}: follow the series again"
            ) from error

    def __repr__(self) -> str:
        return (
            f"HeadEmergence({self.series}, steps {self.steps[0]} to {self.steps[-1]}, "
            f"{len(self.chosen)} heads, {len(self.curves)} curves)"
        )

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())


def _lag_note(lag: Lag) -> str:
    moved = (
        ""
        if lag.correlation is None
        else f" Changes move together: {lag.correlation:+.2f}, p {lag.p_shift:.2f} over "
        f"{lag.n_shifts} shifts."
    )
    if lag.checkpoints is None:
        return f"{lag.later} against {lag.earlier}: one of them has no change point.{moved}"
    ends = f"[{lag.low:+.0f}, {lag.high:+.0f}]" if lag.low is not None else "no interval"
    return (
        f"{lag.later} changes {lag.checkpoints:+.0f} checkpoints {ends} ({lag.steps:+d} steps) "
        f"after {lag.earlier}.{moved}"
    )


def _path(values: Float[np.ndarray, " steps"]) -> str:
    """The first, the middle and the last but one."""
    shown = [values[0], values[len(values) // 2], values[max(len(values) - 2, 0)]]
    return ", ".join(_text(value) for value in shown)


def _text(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"


def _plain(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _plain(values.tolist())
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values
