"""PerturbationResult: what disturbing the neurons of each function costs every function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.modules.perturbation.statistics import own_minus_other_each
from interp.modules.perturbation.table import as_html, as_text
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.perturbation/1"
Measure = Literal["accuracy", "loss"]
MEASURES: tuple[Measure, ...] = ("accuracy", "loss")
_ARRAYS = (
    *("base", "drop", "whole", "own_minus_other", "own_minus_other_functions"),
    *("p_relabelled", "n_items", "n_units", "mass"),
)


@dataclass(frozen=True, kw_only=True)
class PerturbationResult:
    """Drops: accuracy lost, and loss added in nats; higher is more damage under both measures.

    Rows are functions whose neurons were disturbed, columns functions that were asked. The last
    axis of an array with three entries is the value and its 95% bootstrap interval over items.
    """

    functions: tuple[str, ...]
    """Rows; the first columns are the same functions."""
    evaluated: tuple[str, ...]
    """Columns."""
    sites: tuple[str, ...]
    mode: str
    scale: float
    chosen_by: str
    """`experts` or `neurons`: what the contrast was taken over."""
    chosen: dict[str, dict[str, tuple[int, ...]]]
    """By function and site, the experts that were disturbed; empty where neurons were chosen."""
    base: Float[np.ndarray, "measures evaluated 3"]
    """Accuracy and loss of the model as it is; accuracy is NaN for text without answers."""
    drop: Float[np.ndarray, "measures functions evaluated 3"]
    whole: Float[np.ndarray, "measures sets evaluated 3"]
    """Each site with all of its neurons disturbed, then all sites together."""
    alternatives: dict[str, Float[np.ndarray, "measures functions evaluated 3"]]
    """The same drops where other neurons stand for each function, as many: `top neurons`."""
    controls: dict[str, Float[np.ndarray, "measures draws functions"]]
    """What each random draw of neurons costs the function that it is a control of, by kind."""
    control_units: dict[str, Float[np.ndarray, " functions"]]
    """Mean number of neurons in a draw."""
    control_mass: dict[str, Float[np.ndarray, " functions"]]
    own_minus_other: Float[np.ndarray, "measures 3"]
    """Mean drop of the functions whose neurons were disturbed, less that of the others."""
    own_minus_other_functions: Float[np.ndarray, "measures functions 3"]
    p_relabelled: Float[np.ndarray, " measures"]
    """Of the former, rows belonging to the functions in any other order; one-sided."""
    min_p_relabelled: float
    """The smallest that can come out; NaN for fewer than two functions."""
    n_items: Int[np.ndarray, " evaluated"]
    n_units: Int[np.ndarray, " functions"]
    """Neurons disturbed, all sites together."""
    mass: Float[np.ndarray, " functions"]
    """Their mean absolute activation summed, over validation tokens of all functions."""
    units: dict[str, Bool[np.ndarray, "functions _"]]
    """By site, which neurons were disturbed."""
    statements: tuple[str, ...]
    """What a reader must know."""
    provenance: Provenance

    @property
    def n_draws(self) -> int:
        """Random draws of each control."""
        return next(iter(self.controls.values())).shape[1] if self.controls else 0

    @property
    def measure(self) -> Measure:
        """Accuracy where every function has answers, else loss."""
        return "loss" if np.isnan(self.base[0, : len(self.functions), 0]).any() else "accuracy"

    def own(self, measure: Measure | None = None) -> Float[np.ndarray, " functions"]:
        """What each function loses when its own neurons are disturbed."""
        return np.diagonal(self.drop[self._measure(measure), :, : len(self.functions), 0]).copy()

    def other(self, measure: Measure | None = None) -> Float[np.ndarray, " functions"]:
        """What the other functions lose on average when each function's neurons are disturbed."""
        drop = self.drop[self._measure(measure), :, : len(self.functions), 0]
        return np.diagonal(drop) - own_minus_other_each(drop)

    def specificity(self, measure: Measure | None = None) -> Interval:
        """Mean own drop less mean drop of the others, with its bootstrap interval over items."""
        return Interval(*map(float, self.own_minus_other[self._measure(measure)]))

    def over(self, control: str, measure: Measure | None = None) -> float:
        """Mean own drop over the mean drop under random neurons; infinite where those cost nothing.

        NaN where the own neurons cost nothing either.
        """
        own = float(self.own(measure).mean())
        chance = float(self._control(control)[self._measure(measure)].mean())
        if own > 0 and chance <= 0:
            return float("inf")
        return own / chance if own > 0 else float("nan")

    def p_own(
        self, control: str, measure: Measure | None = None
    ) -> Float[np.ndarray, " functions"]:
        """For each function, (1 + random draws that cost it as much) / (1 + draws)."""
        draws = self._control(control)[self._measure(measure)]
        return (1 + (draws >= self.own(measure)).sum(axis=0)) / (1 + len(draws))

    def nothing_to_find(self, measure: Measure | None = None) -> tuple[str, ...]:
        """Functions that lose nothing when all sites are disturbed whole: they have no module here.

        By the interval: its lower end is not above 0.
        """
        low = self.whole[self._measure(measure), -1, : len(self.functions), 1]
        return tuple(f for f, end in zip(self.functions, low, strict=True) if not end > 0)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays["min_p_relabelled"] = np.array([self.min_p_relabelled])
        named = {
            "alternative": self.alternatives,
            "control": self.controls,
            "control_units": self.control_units,
            "control_mass": self.control_mass,
        }
        for prefix, content in named.items():
            arrays |= {f"{prefix}.{i}": array for i, array in enumerate(content.values())}
        arrays |= {f"units.{i}": self.units[site] for i, site in enumerate(self.sites)}
        header = {
            **{name: list(getattr(self, name)) for name in ("functions", "evaluated", "sites")},
            **{name: getattr(self, name) for name in ("mode", "scale", "chosen_by")},
            "chosen": {f: {s: list(e) for s, e in by.items()} for f, by in self.chosen.items()},
            "alternatives": list(self.alternatives),
            "controls": list(self.controls),
            "statements": list(self.statements),
            "provenance": self.provenance.to_json(),
        }
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "PerturbationResult":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)

        def named(prefix: str, names: list[str]) -> dict[str, np.ndarray]:
            return {name: arrays[f"{prefix}.{i}"] for i, name in enumerate(names)}

        try:
            return cls(
                functions=tuple(header["functions"]),
                evaluated=tuple(header["evaluated"]),
                sites=tuple(header["sites"]),
                statements=tuple(header["statements"]),
                mode=header["mode"],
                scale=header["scale"],
                chosen_by=header["chosen_by"],
                chosen={
                    function: {site: tuple(experts) for site, experts in by.items()}
                    for function, by in header["chosen"].items()
                },
                alternatives=named("alternative", header["alternatives"]),
                controls=named("control", header["controls"]),
                control_units=named("control_units", header["controls"]),
                control_mass=named("control_mass", header["controls"]),
                units=named("units", header["sites"]),
                min_p_relabelled=float(arrays["min_p_relabelled"][0]),
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} is no whole perturbation result ({error})") from error

    def to_json(self) -> dict[str, Any]:
        """The tables for machines; NaN and infinity as null."""
        own = self.measure
        return {
            **{name: list(getattr(self, name)) for name in ("functions", "evaluated", "sites")},
            **{name: getattr(self, name) for name in ("mode", "scale", "chosen_by", "chosen")},
            "measure": own,
            "n_items": self.n_items.tolist(),
            "n_units": self.n_units.tolist(),
            "n_draws": self.n_draws,
            "measures": {m: self._measure_json(m) for m in MEASURES},
            "nothing_to_find": list(self.nothing_to_find()),
            "statements": list(self.statements),
        }

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return (
            f"<PerturbationResult: {len(self.functions)} functions disturbed ({self.mode}), "
            f"{len(self.evaluated)} asked; own minus other {self.measure} {self.specificity()}>"
        )

    def _repr_html_(self) -> str:
        return as_html(self)

    def _measure_json(self, measure: Measure) -> dict[str, Any]:
        row = MEASURES.index(measure)
        return {
            "base": _plain(self.base[row]),
            "drop": _plain(self.drop[row]),
            "whole": _plain(self.whole[row]),
            "alternatives": {name: _plain(a[row]) for name, a in self.alternatives.items()},
            "own_minus_other": _plain(self.own_minus_other[row]),
            "own_minus_other_functions": _plain(self.own_minus_other_functions[row]),
            "p_relabelled": _plain(self.p_relabelled[row]),
            "min_p_relabelled": _plain(self.min_p_relabelled),
            "controls": {
                name: {
                    "mean": _plain(self.controls[name][row].mean(axis=0)),
                    "own_over": _plain(self.over(name, measure)),
                    "p": _plain(self.p_own(name, measure)),
                    "units": _plain(self.control_units[name]),
                    "mass": _plain(self.control_mass[name]),
                }
                for name in self.controls
            },
        }

    def _measure(self, measure: Measure | None) -> int:
        own = self.measure if measure is None else measure
        if own not in MEASURES:
            raise BadInput(f"measure {own!r}: expected accuracy or loss")
        return MEASURES.index(own)

    def _control(self, name: str) -> Float[np.ndarray, "measures draws functions"]:
        if name not in self.controls:
            raise BadInput(f"no control {name!r}: there are {', '.join(self.controls)}")
        return self.controls[name]


def _plain(values: np.ndarray | float) -> Any:
    """As JSON has it, what is not finite as None."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim:
        return [_plain(one) for one in array]
    return float(array) if np.isfinite(array) else None
