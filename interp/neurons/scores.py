"""NeuronScores: how well every unit of one site detects every function, beside chance."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from interp.neurons.functions import Function
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.neuron-scores/1"
Measure = Literal[
    "average precision",
    "normalised average precision",
    "held-out accuracy",
    "mutual information",
    "selectivity",
]
"""Shares of 1 but for information, in bits, and selectivity, d' in standard deviations."""
Pooling = Literal["max", "mean", "last", "token"]
_ARRAYS = (
    *("ap_positive", "ap_negative", "score", "sign", "p", "q", "smallest_p", "p_max_t"),
    *("null_best", "expected", "dead"),
)


@dataclass(frozen=True, kw_only=True)
class NeuronScores:
    """Scores of units for functions (arXiv 2305.18390), and what labels in other places give.

    A unit detects a function in either direction: by firing on its positives or on its negatives.
    """

    site: str
    units: str
    """What a unit is: neurons, features of a dictionary, heads."""
    functions: tuple[Function, ...]
    ap_positive: Float[np.ndarray, "functions units"]
    """Average precision with the function's positives as positives; NaN for other measures."""
    ap_negative: Float[np.ndarray, "functions units"]
    """The same score direction with the negatives as positives."""
    score: Float[np.ndarray, "functions units"]
    """What `measure` says: of average precision the larger of the two, or of the normalised two."""
    sign: Int8[np.ndarray, "functions units"]
    """1 where the unit fires on positives, -1 on negatives; ties are 1."""
    p: Float[np.ndarray, "functions units"]
    """Of each unit by itself, from its z under permuted labels pooled with units tied alike; not
    corrected, and NaN where the unit is dead. `Function.exchanged` says what is permuted."""
    q: Float[np.ndarray, "functions units"]
    """`p` with the false discovery rate controlled over units and functions of the site; NaN where
    the unit is dead."""
    smallest_p: Float[np.ndarray, "functions units"]
    """The smallest `p` that its pool could have given."""
    p_max_t: Float[np.ndarray, "functions units"]
    """(1 + permutations whose best unit scores as high) / (1 + permutations): family-wise over the
    units of one function."""
    null_best: Float[np.ndarray, "functions permutations"]
    """The best unit's score under each permutation of the labels."""
    expected: Float[np.ndarray, " functions"]
    """By chance: mean average precision of the positives under random scores without ties, or the
    mean of another measure over live units and permutations."""
    dead: Bool[np.ndarray, " units"]
    """The same value on every row."""
    measure: Measure
    pooling: Pooling
    provenance: Provenance
    baseline: dict[str, Float[np.ndarray, "functions units"]] = field(default_factory=dict)
    """`score` of the same units on the same rows in other models, by name (`random weights`)."""
    baseline_models: dict[str, str | None] = field(default_factory=dict)
    """Model hash of every baseline."""

    @property
    def n_units(self) -> int:
        """Units of the site."""
        return self.score.shape[1]

    @property
    def n_permutations(self) -> int:
        """Permutations behind every p-value: `p_max_t` is at least 1 / (1 + this)."""
        return self.null_best.shape[1]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the functions that sub-functions belong to, in order of appearance."""
        return tuple(dict.fromkeys(function.group for function in self.functions))

    def index(self, name: str) -> int:
        """The row of a function; BadInput naming those there are."""
        names = [function.name for function in self.functions]
        if name not in names:
            raise BadInput(f"no function {name!r}: there are {', '.join(names)}")
        return names.index(name)

    def of_group(self, group: str) -> Int[np.ndarray, " members"]:
        """The rows of the sub-functions of a group; BadInput naming the groups there are."""
        found = [i for i, function in enumerate(self.functions) if function.group == group]
        if not found:
            raise BadInput(f"no function {group!r}: there are {', '.join(self.groups)}")
        return np.array(found)

    def best(self) -> Float[np.ndarray, " functions"]:
        """The best unit's score of every function: to be held against `null_best`."""
        return self.score.max(axis=1)

    def p_best(self) -> Float[np.ndarray, " functions"]:
        """Of the best unit, family-wise over units."""
        return self.p_max_t.min(axis=1)

    def top(self, function: int, k: int) -> Int[np.ndarray, " k"]:
        """The `k` units with the highest scores of a function, highest first; ties by index.

        Dead units come last.
        """
        ranked = np.where(self.dead, -np.inf, self.score[function])
        return np.argsort(-ranked, kind="stable")[:k]

    def specialised(self, *, fdr: float = 0.05) -> Bool[np.ndarray, "functions units"]:
        """Which units detect which functions with the false discovery rate at most `fdr`."""
        return np.nan_to_num(self.q, nan=1.0) <= fdr

    def preferred(self) -> Int[np.ndarray, " units"]:
        """The function that each unit scores highest for."""
        return self.score.argmax(axis=0)

    def margin(self) -> Float[np.ndarray, " units"]:
        """How far each unit's highest score is above its second; NaN with one function."""
        if len(self.functions) < 2:
            return np.full(self.n_units, np.nan)
        two = np.partition(self.score, -2, axis=0)[-2:]
        return two[1] - two[0]

    def overlap(self, k: int) -> Float[np.ndarray, "functions functions"]:
        """Shared units of the `k` best of two functions, as a share of k; by chance k / n_units."""
        if not 1 <= k <= self.n_units:
            raise BadInput(f"the best {k} of {self.n_units} units: give 1 to {self.n_units}")
        chosen = np.zeros(self.score.shape)
        for function in range(len(chosen)):
            chosen[function, self.top(function, k)] = 1.0
        return chosen @ chosen.T / k

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        names = list(self.baseline)
        arrays |= {f"baseline.{i}": self.baseline[name] for i, name in enumerate(names)}
        header = {
            "site": self.site,
            "units": self.units,
            "functions": [function.to_json() for function in self.functions],
            "measure": self.measure,
            "pooling": self.pooling,
            "baselines": names,
            "baseline_models": self.baseline_models,
            "provenance": self.provenance.to_json(),
        }
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "NeuronScores":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(**_content(header, arrays))
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} lacks or garbles {error}: score the units again") from error

    def __repr__(self) -> str:
        return (
            f"NeuronScores({self.site!r}: {self.n_units:,} {self.units}, "
            f"{len(self.functions)} functions, {self.measure} ({self.pooling}), "
            f"{self.n_permutations} permutations)"
        )

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<tr>{''.join(f'<td>{c}</td>' for c in line)}</tr>" for line in self._rows()
        )
        head = "<tr><th>function</th><th>n</th><th>best</th><th>best by chance</th><th>p</th></tr>"
        return f"<p>{html_text(repr(self))}</p><table>{head}{lines}</table>"

    def _rows(self) -> list[tuple[str, ...]]:
        best, p = self.best(), self.p_best()
        return [
            (
                html_text(function.name),
                str(function.n),
                f"{best[i]:.3f}",
                f"{self.null_best[i].mean():.3f}",
                f"{p[i]:.3g}",
            )
            for i, function in enumerate(self.functions)
        ]


def _content(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {
        **{name: header[name] for name in ("site", "units", "measure", "pooling")},
        **{name: arrays[name] for name in _ARRAYS},
        "functions": tuple(Function.from_json(entry) for entry in header["functions"]),
        "baseline": {name: arrays[f"baseline.{i}"] for i, name in enumerate(header["baselines"])},
        "baseline_models": header["baseline_models"],
        "provenance": Provenance.from_json(header["provenance"]),
    }
