"""HeadEmergence: curves of heads and of in-context learning over training, and when they change.

found = HeadEmergence.load("emergence")
print(found)
found.change("used-for L1H2 per_opportunity"), found.lags
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Head
from interp.heads.emergence.change import LEAST_CHECKPOINTS
from interp.heads.emergence.moving import LEAST_TO_TEST
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
    """A head chosen at the series' last checkpoint, `steps[-1]`, on sequences not traced."""

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
        first, last = self.steps[0], self.steps[-1]
        heading = ["curve", f"step {first}", f"step {last}", f"95% at {last}", "change at steps",
                   "95% of its end", "mean before", "after", "draws with one"]  # fmt: skip
        lines = []
        for i, (curve, change) in enumerate(zip(self.curves, self.changes, strict=True)):
            jumps = change.kind == "change"
            lines.append(
                [
                    curve.name,
                    _text(self.value[i, 0]),
                    _text(self.value[i, -1]),
                    f"[{_text(self.low[i, -1])}, {_text(self.high[i, -1])}]",
                    f"{change.step_before}-{change.step_after}" if jumps else change.kind,
                    f"[{change.low}, {change.high}]" if jumps and change.low is not None else "-",
                    _text(change.before) if jumps else "-",
                    _text(change.after) if jumps else "-",
                    f"{change.share_change:.2f}",
                ]
            )
        return heading, lines

    def notes(self) -> list[str]:
        """What stands under the table."""
        heads = {r: [c.name for c in self.chosen if c.relation == r] for r in self.relations}
        n, last = len(self.steps), self.steps[-1]
        lines = [
            f"{n} checkpoints of {self.series}, steps {self.steps[0]} to {last}; a model trained "
            f"beyond step {last} is not among them.",
            f"Heads taken at step {last} on {self.n_choosing} sequences, traced on "
            f"{self.n_tracing} others: "
            + "; ".join(f"{r}: {', '.join(names) or 'none'}" for r, names in heads.items())
            + ".",
            "rate: share of events at which the head attends as the relation asks; strength: how "
            "far it raises the tail at those; per_opportunity: the same over all events. answers: "
            "share of questions answered right; margin: the tail's logit above the mean of others "
            "of its type, in nats.",
            _change_note(n),
        ]
        if self.crowded:
            lines.append(
                f"Random groups hold chosen heads too for {', '.join(self.crowded)}: their layers "
                "have too few others. Losing answers without them is then no contrast."
            )
        lines += [_lag_note(lag) for lag in self.lags]
        if self.lags:
            lines.append(_together_note(self.lags))
        shown = _shown(n)
        for r, relation in enumerate(self.relations):
            at = ", ".join(str(self.steps[i]) for i in shown)
            lines.append(
                f"{relation}: agreement with step {last} at steps {at}: all heads' ranks "
                f"(Spearman) {_path(self.spearman[shown, r])}; the {self.k} best (Jaccard) "
                f"{_path(self.jaccard[shown, r])}."
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


def _change_note(n: int) -> str:
    if n < LEAST_CHECKPOINTS:
        return f"too short: {n} checkpoints, and a change point takes {LEAST_CHECKPOINTS}."
    return (
        "A change is a jump, or a rise or fall over at most half of the checkpoints, that "
        "describes the curve better (BIC) than a level (none), a straight drift (drift), or noise "
        "that wanders about a level (wander). It is a description: at 7, 10 and 20 checkpoints "
        ".10, .07 and .02 of curves of independent noise are said to change, and .29, .35 and "
        ".22 of strongly wandering noise (AR(1) of .8)."
    )


def _lag_note(lag: Lag) -> str:
    if lag.checkpoints is None:
        return f"{lag.later} against {lag.earlier}: one of them has no change point, so no lag."
    by, steps = abs(lag.checkpoints), abs(lag.steps or 0)
    unit = "checkpoint" if by == 1 else "checkpoints"
    order = "before" if lag.checkpoints < 0 else "after"
    when = f"{by:.0f} {unit} ({steps} steps) {order}" if by else "at the same checkpoint as"
    ends = (
        f"95% of the lag [{lag.low:+.0f}, {lag.high:+.0f}] checkpoints"
        if lag.low is not None
        else "no interval: too few draws in which both change"
    )
    return (
        f"{lag.later} changes {when} {lag.earlier}; {ends}, both change in {lag.share_draws:.2f} "
        "of draws."
    )


def _together_note(lags: Sequence[Lag]) -> str:
    tested = [
        f"{lag.later} with {lag.earlier} {lag.correlation:+.2f} (p {lag.p_together:.2g})"
        for lag in lags
        if lag.correlation is not None and lag.p_together is not None
    ]
    n = max(lag.n_tested for lag in lags)
    if tested:
        found = f"Fluctuations beside the changes, rank correlation: {'; '.join(tested)}."
    elif n < LEAST_TO_TEST:
        found = (
            f"Whether the curves fluctuate together: too few checkpoints to test ({n}; it takes "
            f"{LEAST_TO_TEST})."
        )
    else:
        found = "Whether the curves fluctuate together: nothing left to test beside the changes."
    return f"{found} Changing at the same time is no cause: compare the answers without the heads."


def _shown(n: int) -> list[int]:
    """The first checkpoint, the middle one and the last but one."""
    return sorted({0, n // 2, max(n - 2, 0)})


def _path(values: Float[np.ndarray, " steps"]) -> str:
    return ", ".join(_text(value) for value in values)


def _text(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"


def _plain(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return _plain(values.tolist())
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not np.isfinite(values) else values
