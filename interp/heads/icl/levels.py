"""LevelCurves: three levels of in-context learning over shots and checkpoints.

Loss reduction: late tokens of a text cost less than early ones. Format compliance: the answer has
the form of a label. Pattern discovery: it is the label (arXiv 2402.13055 section 4.1).

    curves = LevelCurves.load("levels")
    print(curves)
    curves.share("pattern").value       # steps, tasks, shots
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64

from interp.heads.icl import table
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import wilson_bounds
from interp.results.provenance import Provenance
from interp.results.significance import holm, mcnemar
from interp.results.tables import html_table, text_table

SCHEMA = "interp.icl-levels/1"
Level = Literal["format", "pattern", "legal"]
LEVELS: tuple[Level, ...] = ("format", "pattern", "legal")
_BOOLS = ("format", "pattern", "legal")
_FLOATS = ("legal_mass", "gold_log_probability", "margin")
ENOUGH = 0.8


class Said(NamedTuple):
    """What was said to every prompt; one entry a task, number of lines and prompt."""

    format: Bool[np.ndarray, "*conditions prompts"]
    """The likeliest token is a label's, or any number where labels are numbers."""
    pattern: Bool[np.ndarray, "*conditions prompts"]
    """The likeliest token is the right label."""
    legal: Bool[np.ndarray, "*conditions prompts"]
    """The right label is the likeliest of the task's labels."""
    legal_mass: Float32[np.ndarray, "*conditions prompts"]
    """Probability of all labels of the task together."""
    gold_log_probability: Float32[np.ndarray, "*conditions prompts"]
    """Of the right label, in nats. Its exponential is the rate at which sampling succeeds."""
    margin: Float32[np.ndarray, "*conditions prompts"]
    """Log-probability of the right label less that of the best wrong one."""

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Said":
        """Nothing asked yet."""
        return cls(
            **{name: np.zeros(shape, dtype=bool) for name in _BOOLS},
            **{name: np.full(shape, np.nan, dtype=np.float32) for name in _FLOATS},
        )

    @classmethod
    def stacked(cls, several: "list[Said]") -> "Said":
        """One behind the other, along a new first axis."""
        return cls(*(np.stack(arrays) for arrays in zip(*several, strict=True)))


class Shares(NamedTuple):
    """Shares with Wilson's 95% interval over prompts."""

    value: Float64[np.ndarray, "steps tasks shots"]
    low: Float64[np.ndarray, "steps tasks shots"]
    high: Float64[np.ndarray, "steps tasks shots"]


@dataclass(frozen=True, kw_only=True)
class AskedTask:
    """One task as it was asked."""

    name: str
    kind: str
    labels: tuple[str, ...]
    chance: float
    """Legal accuracy of guessing among the labels."""
    majority: float
    """Share of the commonest right label."""
    format_chance: float
    """Share of the vocabulary that is in the format."""
    n_words: dict[str, int]
    """Words drawn from, for each place of a rule; 12 are wanted."""
    n_given: dict[str, int]
    """Words there were before those that are not one token were left out."""


class LevelChange(NamedTuple):
    """Whether a level differs between two checkpoints on the same prompts."""

    task: str
    level: str
    shots: int
    step_before: int | None
    step_after: int | None
    before: float
    after: float
    only_before: int
    only_after: int
    p: float
    """Exact two-sided McNemar."""
    p_holm: float
    """Over all tasks and pairs of checkpoints of this call."""


@dataclass(frozen=True, kw_only=True)
class LevelCurves:
    """Every answer to the same prompts at every checkpoint, and the loss along a text."""

    models: tuple[str, ...]
    steps: tuple[int | None, ...]
    """None for a model that is no member of a series."""
    model_hashes: tuple[str | None, ...]
    tasks: tuple[AskedTask, ...]
    shots: tuple[int, ...]
    said: Said
    """By step, task, number of lines and prompt."""
    shuffled: Said
    """The same with every shown label drawn at random: the format is there, the pattern is not."""
    windows: tuple[tuple[int, int], ...]
    """(i, j): tokens j to i + j are compared with the first i; empty where there was no text."""
    loss: Float64[np.ndarray, "steps windows 3 sequences"]
    """Of the early tokens, the late ones, and the late ones after another sequence's beginning."""
    provenance: Provenance

    def __post_init__(self) -> None:
        shape = (len(self.steps), len(self.tasks), len(self.shots))
        same = {part.shape[:-1] for said in (self.said, self.shuffled) for part in said} == {shape}
        whole = len(self.models) == len(self.model_hashes) == len(self.steps)
        if not same or not whole or self.loss.shape[:2] != (shape[0], len(self.windows)):
            raise BadInput(f"levels of {shape[0]} checkpoints and {shape[1]} tasks do not fit")

    @property
    def n_prompts(self) -> int:
        """Of each task and number of lines."""
        return self.said.format.shape[-1]

    def share(self, level: Level, *, shuffled: bool = False) -> Shares:
        """Share of prompts at a level; `shuffled` for the baseline."""
        outcome = getattr(self.shuffled if shuffled else self.said, _known(level))
        right = outcome.sum(axis=-1)
        ends = wilson_bounds(right.reshape(-1), self.n_prompts).reshape(*right.shape, 2)
        return Shares(right / self.n_prompts, ends[..., 0], ends[..., 1])

    def success(self) -> Float64[np.ndarray, "steps tasks shots"]:
        """The rate at which sampling says the right label: exact for these prompts, never 0.

        Early in training it moves long before any likeliest token does.
        """
        return np.exp(self.said.gold_log_probability.astype(np.float64)).mean(axis=-1)

    def least_shots(
        self, level: Level = "pattern", *, threshold: float = ENOUGH
    ) -> Float64[np.ndarray, "steps tasks"]:
        """The least k whose share is above the threshold; NaN where none is (the paper says 20)."""
        above = self.share(level).value > threshold
        first = np.array(self.shots, dtype=np.float64)[above.argmax(axis=-1)]
        return np.where(above.any(axis=-1), first, np.nan)

    def loss_reduction(
        self, *, draws: int = 2000, seed: int = 0
    ) -> Float64[np.ndarray, "steps windows 2 3"]:
        """Late less early loss, own and after foreign text, each with its 95% bootstrap.

        The bootstrap is over sequences, the same draws at every checkpoint. More negative is more
        learning from context; the foreign one is what position and the text's own course give.
        """
        n = self.loss.shape[-1]
        reduction = self.loss[:, :, 1:] - self.loss[:, :, :1]
        if n == 0:
            return np.full((*reduction.shape[:3], 3), np.nan)
        times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws) / n
        drawn = reduction @ times.T
        low, high = np.quantile(drawn, [0.025, 0.975], axis=-1)
        return np.stack([reduction.mean(axis=-1), low, high], axis=-1)

    def changes(
        self,
        level: Level = "pattern",
        *,
        shots: int | None = None,
        against: Literal["previous", "first"] = "previous",
    ) -> list[LevelChange]:
        """Exact McNemar of every checkpoint but the first against the one before, or the first.

        With `shots` lines, or the most there are; Holm over all tasks and pairs.
        """
        k = len(self.shots) - 1 if shots is None else self._place(shots)
        outcome = getattr(self.said, _known(level))[:, :, k]
        pairs = [(0 if against == "first" else s - 1, s) for s in range(1, len(self.steps))]
        found = [
            self._change(level, task, k, pair, outcome[pair[0], task], outcome[pair[1], task])
            for task in range(len(self.tasks))
            for pair in pairs
        ]
        adjusted = holm(np.array([change.p for change in found], dtype=np.float64))
        return [c._replace(p_holm=float(p)) for c, p in zip(found, adjusted, strict=True)]

    def task(self, name: str) -> int:
        """Place of a task. Raises BadInput naming those there are."""
        names = [task.name for task in self.tasks]
        if name not in names:
            raise BadInput(f"no task {name!r}: there are {', '.join(names)}")
        return names.index(name)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines: a checkpoint and task each, at the most lines."""
        return table.levels_table(self)

    def notes(self) -> list[str]:
        """What stands under the table."""
        return table.levels_notes(self)

    def to_json(self) -> dict[str, Any]:
        """Shares, baselines and losses for machines; NaN as null."""
        return table.levels_json(self)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "models": list(self.models),
            "steps": list(self.steps),
            "model_hashes": list(self.model_hashes),
            "tasks": [asdict(task) for task in self.tasks],
            "shots": list(self.shots),
            "windows": [list(window) for window in self.windows],
            "provenance": self.provenance.to_json(),
        }
        arrays = {"loss": self.loss}
        for prefix, said in (("said", self.said), ("shuffled", self.shuffled)):
            arrays |= {f"{prefix}.{name}": value for name, value in said._asdict().items()}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "LevelCurves":
        """A saved finding. CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            said, shuffled = (
                Said(**{name: arrays[f"{prefix}.{name}"] for name in Said._fields})
                for prefix in ("said", "shuffled")
            )
            return cls(
                models=tuple(header["models"]),
                steps=tuple(header["steps"]),
                model_hashes=tuple(header["model_hashes"]),
                tasks=tuple(
                    AskedTask(**{**task, "labels": tuple(task["labels"])})
                    for task in header["tasks"]
                ),
                shots=tuple(header["shots"]),
                said=said,
                shuffled=shuffled,
                windows=tuple((i, j) for i, j in header["windows"]),
                loss=arrays["loss"],
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError, ValueError, BadInput) as error:
            raise CorruptFile(
                f"{path} lacks or garbles {error}: measure the levels again"
            ) from error

    def __repr__(self) -> str:
        return (
            f"LevelCurves({len(self.steps)} checkpoints, {len(self.tasks)} tasks, "
            f"shots {self.shots}, {self.n_prompts} prompts each)"
        )

    def __str__(self) -> str:
        return text_table(*self.table(), self.notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.notes())

    def _place(self, shots: int) -> int:
        if shots not in self.shots:
            raise BadInput(f"{shots} lines were not asked with: {self.shots} were")
        return self.shots.index(shots)

    def _change(
        self,
        level: str,
        task: int,
        k: int,
        pair: tuple[int, int],
        before: Bool[np.ndarray, " prompts"],
        after: Bool[np.ndarray, " prompts"],
    ) -> LevelChange:
        only_before, only_after = int((before & ~after).sum()), int((after & ~before).sum())
        p = mcnemar(only_before, only_after)
        return LevelChange(
            task=self.tasks[task].name,
            level=level,
            shots=self.shots[k],
            step_before=self.steps[pair[0]],
            step_after=self.steps[pair[1]],
            before=float(before.mean()),
            after=float(after.mean()),
            only_before=only_before,
            only_after=only_after,
            p=p,
            p_holm=p,
        )


def _known(level: str) -> str:
    if level not in LEVELS:
        raise BadInput(f"level {level!r}: give one of {', '.join(LEVELS)}")
    return level
