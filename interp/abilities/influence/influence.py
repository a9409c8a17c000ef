"""Influence: how much every training example drives an ability, and what chance gives."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8
from scipy import stats

from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.influence/1"
Form = Literal["sgd", "adam"]
_Z95 = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Influence:
    """A score for every training example, and the scores that shuffled answers give."""

    score: Float64[np.ndarray, " examples"]
    """Mean cosine with the validation gradients, the largest over sub-tasks; -1 to 1."""
    interval: Float64[np.ndarray, "examples 2"]
    """95% t-interval of the sub-task that gives the score, over folds of its validation examples;
    NaN with one. Not corrected for that sub-task's being the largest."""
    by_subtask: Float64[np.ndarray, "examples subtasks"]
    halves: Float64[np.ndarray, "2 examples"]
    """The scores that each half of the validation examples gives; NaN with one example."""
    null: Float64[np.ndarray, "shuffles examples"]
    """The scores against validation prompts with each other's answers (texts: shuffled words)."""
    row: Int64[np.ndarray, " examples"]
    """Line of the training file, from 1."""
    hash: UInt8[np.ndarray, "examples 32"]
    """SHA-256 of that line, without its line end."""
    n_tokens: Int64[np.ndarray, " examples"]
    """Tokens that the example's loss is the mean of."""
    subtasks: tuple[str, ...]
    n_validation: tuple[int, ...]
    """Validation examples of every sub-task."""
    form: Form
    """What a training example's step is: its gradient (sgd), or Adam's step with it."""
    n_parameters: int
    """Entries whose gradients are compared."""
    dim: int | None
    """Dimensions of the gradients' sketches; None where they are exact."""
    left_out: tuple[str, ...]
    """Tensors of the model that no gradient is compared of."""
    checkpoint_weights: tuple[float, ...]
    """Weight of every checkpoint: its mean learning rate, normalised to sum 1."""
    provenance: Provenance

    @property
    def p_value(self) -> Float64[np.ndarray, " examples"]:
        """(1 + null scores at or above) / (1 + null scores), the null of all examples pooled.

        Examples share their shuffles, so these are not independent of one another.
        """
        null = np.sort(self.null.ravel())
        above = null.size - np.searchsorted(null, self.score, side="left")
        return (1.0 + above) / (1.0 + null.size)

    def significant(self, *, fdr: float = 0.05) -> Bool[np.ndarray, " examples"]:
        """Whose score stands out at this false discovery rate (Benjamini and Hochberg 1995)."""
        if not 0 < fdr < 1:
            raise BadInput(f"a false discovery rate of {fdr}: expected one between 0 and 1")
        return stats.false_discovery_control(self.p_value) <= fdr

    def n_significant(self, *, fdr: float = 0.05) -> int:
        """How many examples exceed the threshold."""
        return int(self.significant(fdr=fdr).sum())

    def threshold(self, *, fdr: float = 0.05) -> float | None:
        """The lowest score that stands out; None where none does."""
        chosen = self.score[self.significant(fdr=fdr)]
        return float(chosen.min()) if chosen.size else None

    @property
    def length_correlation(self) -> Interval:
        """Spearman's correlation of score and length in tokens, with 95% (Bonett and Wright 2000).

        The loss is a mean over tokens, which favours short answers: far from 0 it is a warning.
        NaN where all lengths are equal.
        """
        return _spearman(self.score, self.n_tokens.astype(np.float64))

    @property
    def split_half(self) -> Interval:
        """Spearman's correlation of the scores that the two halves of the validation give."""
        return _spearman(*self.halves)

    @property
    def reliability(self) -> float:
        """Of the whole validation set, from `split_half` by Spearman and Brown: 2r / (1 + r)."""
        r = self.split_half.value
        return 2 * r / (1 + r) if r > -1 else float("nan")

    def ranked(self) -> Int64[np.ndarray, " examples"]:
        """Indices of the examples from the highest score down, ties in the order of the file."""
        return np.argsort(-self.score, kind="stable").astype(np.int64)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write the scores as a finding directory."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        header: dict[str, Any] = {name: _plain(getattr(self, name)) for name in _FIELDS}
        header["provenance"] = self.provenance.to_json()
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path) -> "Influence":
        """Open saved scores. CorruptFile where they are not sound."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            found = cls(
                **{name: arrays[name] for name in _ARRAYS},
                **{name: _tuples(header[name]) for name in _FIELDS},
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"the header of {path} lacks or garbles {error}") from error
        if len({len(found.score), len(found.row), len(found.hash), found.null.shape[-1]}) != 1:
            raise CorruptFile(f"the arrays of {path} are of different lengths: make it again")
        return found

    def _repr_html_(self) -> str:
        best = "".join(
            f"<tr><td>{self.row[i]}</td><td>{self.score[i]:.4f}</td>"
            f"<td>{html.escape(self.subtasks[int(self.by_subtask[i].argmax())])}</td></tr>"
            for i in self.ranked()[:10]
        )
        head = f"{len(self.score):,} examples, {self.n_significant():,} above chance at FDR 0.05"
        return f"<p>Influence: {head}</p><table>{best}</table>"


_ARRAYS = ("score", "interval", "by_subtask", "halves", "null", "row", "hash", "n_tokens")
_FIELDS = (
    *("subtasks", "n_validation", "form", "n_parameters", "dim", "left_out"),
    "checkpoint_weights",
)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _spearman(one: np.ndarray, two: np.ndarray) -> Interval:
    nothing = float("nan")
    defined = np.isfinite(one) & np.isfinite(two)
    one, two = one[defined], two[defined]
    if len(one) < 4 or np.all(one == one[0]) or np.all(two == two[0]):
        return Interval(nothing, nothing, nothing)
    result: Any = stats.spearmanr(one, two)
    rho = float(np.clip(result.statistic, -1, 1))
    if abs(rho) == 1:
        return Interval(rho, rho, rho)
    half = _Z95 * np.sqrt((1 + rho**2 / 2) / (len(one) - 3))
    centre = np.arctanh(rho)
    return Interval(rho, float(np.tanh(centre - half)), float(np.tanh(centre + half)))
