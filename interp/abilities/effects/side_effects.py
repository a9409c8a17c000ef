"""SideEffects: what an edit of a model did beside what it was made for.

report = SideEffects.load(path)
print(report.text_table())
report.harms[0].worst, report.harms[0].p
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from interp.evaluation.evaluation import LEVEL, Cell, Evaluation
from interp.evaluation.paired import PairedTest
from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import visible
from interp.results.finding import DATA, load_finding, write_header
from interp.results.intervals import Interval
from interp.results.provenance import Provenance
from interp.results.tables import columns_aligned

SCHEMA = "interp.side_effects/1"
EVALUATION = "evaluation"
_TEXT = ("kl", "nats_base", "nats_edited", "n_tokens", "n_bytes")


@dataclass(frozen=True, kw_only=True)
class Harm:
    """How much accuracy an edited model lost in the cells that the edit was not made for."""

    model: str
    index: float
    """Mean over these cells of what was lost (0 where nothing was): 0 to 1."""
    null: float
    """Mean index when every item's two outcomes are exchanged at random: what noise alone loses."""
    null_high: float
    """95% of the indices by exchange are at or below it."""
    p: float
    """(1 + exchanges with at least this index) / (1 + exchanges). A cell that gained much makes the
    index by exchange high, and so this p: read `p_any` then, or name the cell as a target."""
    p_any: float
    """The same for the sum of the losses squared, each in units of what exchanging its own cell
    gives: whether anything was lost at all."""
    n_cells: int
    n_items: int
    worst: str
    """Key of the cell with the lowest difference; the first if several."""


@dataclass(frozen=True, kw_only=True)
class TextEffect:
    """What an edit did to the next-token distributions on neutral text."""

    model: str
    kl: Interval
    """KL(base ‖ edited) in nats, mean over predicted tokens; 95% bootstrap over sequences. 0 where
    nothing changed."""
    bits_per_byte: float
    """Of the edited model."""
    bits_per_byte_change: Interval
    """The same less the base's; above 0 it predicts the text worse."""
    n_tokens: int
    n_sequences: int


@dataclass(frozen=True, kw_only=True)
class WeightChange:
    """How far the weights moved."""

    model: str
    norm: float
    """Euclidean norm of edited minus base, over all number tensors."""
    relative_norm: float
    """The same over the norm of the base."""
    n_changed: int
    """Entries whose value differs."""
    n_entries: int

    @property
    def share_changed(self) -> float:
        """Changed over all, 0 to 1."""
        return self.n_changed / self.n_entries if self.n_entries else 0.0


@dataclass(frozen=True, kw_only=True)
class WrongLanguage:
    """How often a model answers in another language than it was asked in, by the answers' words."""

    model: str
    wrong: Interval
    """Share of the decided answers whose words are another language's; Wilson's interval."""
    n_decided: int
    """Answers with a word that one language alone uses."""
    n_undecided: int
    """Answers without one: nobody can tell from the words of the items."""


@dataclass(frozen=True, kw_only=True)
class SideEffects:
    """Edited models against their base: accuracy by cell, harm, text, weights, languages."""

    evaluation: Evaluation
    """The base first, then the edited models; its tests are the matrix, edited minus base."""
    targets: tuple[str, ...]
    """Keys of the cells that the edit was made for; none where it was not said."""
    harms: tuple[Harm, ...]
    weights: tuple[WeightChange, ...]
    """Without a model whose tensors are not the base's."""
    texts: tuple[TextEffect, ...]
    """Empty where no text was given."""
    languages: tuple[WrongLanguage, ...]
    """The base first; empty where the items do not make it decidable."""
    notes: tuple[str, ...]
    """What could not be measured, and why."""
    by_sequence: dict[str, Float[np.ndarray, "edited sequences"]]
    """Sums over each sequence of the text: kl, nats_base, nats_edited, n_tokens, n_bytes."""
    provenance: Provenance

    @property
    def base(self) -> str:
        """Name of the model that was edited."""
        return self.evaluation.models[0]

    @property
    def edited(self) -> tuple[str, ...]:
        """Names of the edited models."""
        return self.evaluation.models[1:]

    @property
    def difference(self) -> Float[np.ndarray, "cells edited"]:
        """The matrix: accuracy of every edited model minus the base's, by cell."""
        rows = [
            [self.effect(model, cell).difference.value for model in self.edited]
            for cell in self.evaluation.cells
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.edited))

    def effect(self, model: str, cell: Cell) -> PairedTest:
        """What the edit did to one cell: difference with its paired interval, p and Holm's p."""
        return self.evaluation.test(model, cell)

    def losses(self, model: str) -> list[PairedTest]:
        """The losses outside of the target that hold after Holm's adjustment, the worst first."""
        tests = [
            test
            for cell in self.evaluation.cells
            if cell.key not in self.targets
            for test in [self.effect(model, cell)]
            if test.p_holm < LEVEL and test.difference.value < 0
        ]
        return sorted(tests, key=lambda test: test.difference.value)

    def cell(self, key: str) -> Cell:
        """The cell of a key, `task/language`."""
        for cell in self.evaluation.cells:
            if cell.key == key:
                return cell
        raise BadInput(f"no cell {key!r}: there are {[c.key for c in self.evaluation.cells]}")

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        with atomic_directory(path, replace=overwrite) as directory:
            self.evaluation.save(directory / EVALUATION)
            save_file(
                {name: np.ascontiguousarray(array) for name, array in self.by_sequence.items()},
                directory / DATA,
            )
            header = {
                "targets": list(self.targets),
                **{part: [asdict(one) for one in getattr(self, part)] for part in _PARTS},
                "notes": list(self.notes),
                "provenance": self.provenance.to_json(),
            }
            write_header(directory, schema=SCHEMA, header=header)
        return path

    @classmethod
    def load(cls, path: Path) -> "SideEffects":
        """Read what `save` wrote; CorruptFile if its files do not fit together."""
        header, arrays = load_finding(path, schema=SCHEMA)
        try:
            parts: dict[str, Any] = {
                part: tuple(kind(**_with_intervals(one)) for one in header[part])
                for part, kind in _PARTS.items()
            }
            return cls(
                evaluation=Evaluation.load(path / EVALUATION),
                targets=tuple(header["targets"]),
                notes=tuple(header["notes"]),
                by_sequence=arrays,
                provenance=Provenance.from_json(header["provenance"]),
                **parts,
            )
        except (KeyError, TypeError, BadInput) as error:
            raise CorruptFile(f"{path} is not a whole report ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """Everything but the single answers: for machines."""
        worst = {harm.model: self.effect(harm.model, self.cell(harm.worst)) for harm in self.harms}
        return {
            "base": self.base,
            "edited": list(self.edited),
            "targets": list(self.targets),
            "matrix": [test.to_json() for test in self.evaluation.tests],
            "harm": {
                harm.model: asdict(harm)
                | {
                    "worst_difference": list(worst[harm.model].difference),
                    "worst_p_holm": worst[harm.model].p_holm,
                    "losses": [test.column for test in self.losses(harm.model)],
                }
                for harm in self.harms
            },
            "weights": {
                one.model: asdict(one) | {"share_changed": one.share_changed}
                for one in self.weights
            },
            "text": {one.model: asdict(one) for one in self.texts},
            "wrong_language": {one.model: asdict(one) for one in self.languages},
            "evaluation": self.evaluation.to_json(),
            "notes": list(self.notes),
        }

    def text_table(self) -> str:
        """The report for a terminal."""
        heading = ["task", "language", "n", self.base, *self.edited]
        matrix = [heading, *(self._row(cell) for cell in self.evaluation.cells)]
        parts = [columns_aligned(matrix), columns_aligned(self._summary())]
        said = [self._reading(), *self._worst(), *self.evaluation.test_notes(), *self.notes]
        return "\n\n".join([*parts, "\n".join(visible(line, limit=len(line)) for line in said)])

    def _row(self, cell: Cell) -> list[str]:
        own = self.evaluation.accuracy(self.base, cell)
        target = " (target)" if cell.key in self.targets else ""
        shown = [self._effect_text(model, cell) for model in self.edited]
        return [cell.task, f"{cell.language}{target}", str(cell.n), f"{own.value:.3f}", *shown]

    def _effect_text(self, model: str, cell: Cell) -> str:
        test = self.effect(model, cell)
        mark = " *" if test.p_holm < LEVEL else ""
        return f"{_signed(test.difference)}{mark}"

    def _summary(self) -> list[list[str]]:
        harms = [
            f"{h.index:.4f} (by exchange {h.null:.4f}, 95% up to {h.null_high:.4f}, p = {h.p:.2g})"
            for h in self.harms
        ]
        changes = {one.model: one for one in self.weights}
        texts = {one.model: one for one in self.texts}
        languages = {one.model: one for one in self.languages}
        rows = [
            ["", *self.edited],
            ["harm index", *harms],
            ["anything lost", *(f"p = {harm.p_any:.2g}" for harm in self.harms)],
        ]
        if changes:
            rows.append(["entries changed", *(_changed(changes.get(m)) for m in self.edited)])
            rows.append(["norm of the change", *(_norm(changes.get(m)) for m in self.edited)])
        if texts:
            rows.append(["KL on the text, nats", *(_digits(texts[m].kl) for m in self.edited)])
            bits = [texts[m] for m in self.edited]
            rows.append(
                ["bits per byte, change", *(_signed(one.bits_per_byte_change, 4) for one in bits)]
            )
        if languages:
            told = [
                f"{languages[m].wrong} of {languages[m].n_decided} (base "
                f"{languages[self.base].wrong.value:.3f})"
                for m in self.edited
            ]
            rows.append(["answers in another language", *told])
        return rows

    def _reading(self) -> str:
        kept = "all cells" if not self.targets else "the cells that are not the target"
        return (
            f"Matrix: accuracy minus that of {self.base}, Newcombe's paired 95% interval. Harm "
            f"index: mean loss over {kept}; by exchange: the same when every item's two outcomes "
            "change places at random; cells that gained raise it. Anything lost: losses in units "
            "of their own cell's noise. p of single cells: after Holm over all cells."
        )

    def _worst(self) -> list[str]:
        return [
            f"Worst cell of {harm.model}: {_cell_text(worst)}. Losses that hold: {held}."
            for harm in self.harms
            for worst in [self.effect(harm.model, self.cell(harm.worst))]
            for held in [", ".join(map(_cell_text, self.losses(harm.model))) or "none"]
        ]


_PARTS: dict[str, Any] = {
    "harms": Harm,
    "weights": WeightChange,
    "texts": TextEffect,
    "languages": WrongLanguage,
}


def _with_intervals(content: dict[str, Any]) -> dict[str, Any]:
    """The only lists in these parts are intervals."""
    return {
        name: Interval(*value) if isinstance(value, list) else value
        for name, value in content.items()
    }


def _signed(interval: Interval, digits: int = 3) -> str:
    value, low, high = interval
    return f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def _cell_text(test: PairedTest) -> str:
    return f"{test.column} {_signed(test.difference)}, p = {test.p_holm:.2g}"


def _digits(interval: Interval) -> str:
    value, low, high = (f"{number:.4g}" for number in interval)
    return f"{value} [{low}, {high}]"


def _changed(change: WeightChange | None) -> str:
    if change is None:
        return "-"
    return f"{change.share_changed:.4f} ({change.n_changed:,} of {change.n_entries:,})"


def _norm(change: WeightChange | None) -> str:
    return "-" if change is None else f"{change.norm:.4g} ({change.relative_norm:.4f} of the base)"
