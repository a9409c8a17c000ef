"""FunctionalExperts: which experts hold more of a function's best neurons than chance."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from interp.modules.functional.enrichment import (
    Modularization,
    modularization,
    odds_ratio,
    smallest_p,
)
from interp.modules.functional.table import as_html, as_text
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.functional-experts/1"
Rule = Literal["fdr", "published"]
RULES: tuple[Rule, ...] = ("fdr", "published")
_ARRAYS = (
    *("counts", "sizes", "live", "p", "q", "p_published"),
    *("group_counts", "group_p", "group_q", "group_p_binomial"),
    *("null_proportion", "null_degree"),
)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The neurons of one site, and how many of them were looked for in experts."""

    site: str
    partition: str
    """How the experts were made: the partition's kind."""
    n_units: int
    n_live: int
    """Units that are dead in neither finding: only these are ranked, and p is taken over them."""
    k: int
    """A function's best units that are counted."""


class AgainstChance(NamedTuple):
    """A number beside the same of random partitions of the same sizes."""

    value: float
    null_mean: float
    null_sd: float
    z: float
    """NaN where all random partitions give the same."""
    p: float
    """One-sided, (1 + partitions as high) / (1 + partitions)."""


@dataclass(frozen=True, kw_only=True)
class FunctionalExperts:
    """Counts of each function's best neurons in each expert, beside what chance would put there.

    Two rules say which experts are functional. `fdr`: exact hypergeometric p over live neurons,
    false discovery rate controlled over functions x experts x layers. `published`: p at most
    `alpha` over all neurons, nothing corrected (arXiv 2305.18390).
    """

    layers: tuple[Layer, ...]
    functions: tuple[str, ...]
    function_groups: tuple[str, ...]
    """The function that each of `functions` is a part of."""
    fraction: float
    """Share of a layer's neurons that count as a function's best."""
    alpha: float
    """Of the published rule."""
    fdr: float
    counts: Int[np.ndarray, "layers functions experts"]
    sizes: Int[np.ndarray, "layers experts"]
    """Neurons of every expert."""
    live: Int[np.ndarray, "layers experts"]
    """Of these, live ones."""
    p: Float[np.ndarray, "layers functions experts"]
    """P(as many or more) for a random set of as many live neurons: exact, one-sided."""
    q: Float[np.ndarray, "layers functions experts"]
    """`p` adjusted over everything in it (Benjamini and Hochberg)."""
    p_published: Float[np.ndarray, "layers functions experts"]
    """The same over all neurons, dead ones among them."""
    group_counts: Int[np.ndarray, "layers groups experts"]
    """Best neurons of all sub-functions of a group, repetition counted."""
    group_p: Float[np.ndarray, "layers groups experts"]
    """Over random partitions that keep repeated neurons together."""
    group_q: Float[np.ndarray, "layers groups experts"]
    group_p_binomial: Float[np.ndarray, "layers groups experts"]
    """The published test, which takes repetitions for independent: too small."""
    n_permutations: int
    """Random partitions behind `group_p`, where a neuron is repeated."""
    null_proportion: Float[np.ndarray, "rules draws layers"]
    """Mean over functions of the share of functional experts, in random partitions."""
    null_degree: Float[np.ndarray, "rules draws layers"]
    provenance: Provenance
    baseline: dict[str, Int[np.ndarray, "rules layers"]] = field(default_factory=dict)
    """Functions with a functional expert by what other models score (`random weights`), in the
    same experts: what the partition finds where nothing was learnt."""

    @property
    def n_experts(self) -> int:
        """Experts of each layer."""
        return self.counts.shape[2]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the functions that sub-functions belong to, in order of appearance."""
        return tuple(dict.fromkeys(self.function_groups))

    @property
    def min_p(self) -> Float[np.ndarray, " layers"]:
        """The smallest p that any expert of a layer can reach: all of the best in one expert."""
        pairs = zip(self.layers, self.live, strict=True)
        return np.array([smallest_p(layer.n_live, layer.k, live) for layer, live in pairs])

    def functional(self, rule: Rule = "fdr") -> Bool[np.ndarray, "layers functions experts"]:
        """Which experts are functional for which functions."""
        _check(rule)
        return self.q <= self.fdr if rule == "fdr" else self.p_published <= self.alpha

    def expected(self, rule: Rule = "fdr") -> Float[np.ndarray, "layers experts"]:
        """How many of a function's best neurons a random expert of that size holds."""
        _check(rule)
        members = self.live if rule == "fdr" else self.sizes
        n = [layer.n_live if rule == "fdr" else layer.n_units for layer in self.layers]
        k = [layer.k for layer in self.layers]
        return members * (np.array(k) / np.array(n))[:, None]

    def enrichment(self, rule: Rule = "fdr") -> Float[np.ndarray, "layers functions experts"]:
        """Count over expected count; NaN for an expert of dead neurons only."""
        expected = self.expected(rule)[:, None, :]
        return np.divide(
            self.counts, expected, out=np.full(self.counts.shape, np.nan), where=expected > 0
        )

    def odds_ratio(self) -> Float[np.ndarray, "layers functions experts 3"]:
        """Odds of being among a function's best inside an expert over outside, with 95% ends."""
        return np.stack(
            [
                odds_ratio(counts, n=layer.n_live, k=layer.k, sizes=live)
                for layer, counts, live in zip(self.layers, self.counts, self.live, strict=True)
            ]
        )

    def modularization(self, rule: Rule = "fdr") -> tuple[Modularization, ...]:
        """Proportion and degree of every function, a layer at a time."""
        return tuple(
            modularization(functional, counts, expected)
            for functional, counts, expected in zip(
                self.functional(rule), self.counts, self.expected(rule), strict=True
            )
        )

    def proportion(self, layer: int, rule: Rule = "fdr") -> AgainstChance:
        """Share of functional experts in a layer, mean over functions, beside random partitions."""
        value = float(self.modularization(rule)[layer].proportion.mean())
        return _against(value, self.null_proportion[RULES.index(rule), :, layer])

    def degree(self, layer: int, rule: Rule = "fdr") -> AgainstChance:
        """Mean enrichment of functional experts in a layer, mean over functions; 0 for none.

        At least what the test asks for wherever an expert is functional: it measures strength, and
        is no evidence by itself.
        """
        value = float(self.modularization(rule)[layer].degree.mean())
        return _against(value, self.null_degree[RULES.index(rule), :, layer])

    def functions_with_an_expert(self, rule: Rule = "fdr") -> Int[np.ndarray, " layers"]:
        """How many functions have a functional expert in each layer."""
        return self.functional(rule).any(axis=2).sum(axis=1)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "layers": [asdict(layer) for layer in self.layers],
            **{name: list(getattr(self, name)) for name in ("functions", "function_groups")},
            **{name: getattr(self, name) for name in ("fraction", "alpha", "fdr")},
            "n_permutations": self.n_permutations,
            "baselines": list(self.baseline),
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"baseline.{i}": found for i, found in enumerate(self.baseline.values())}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "FunctionalExperts":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                layers=tuple(Layer(**layer) for layer in header["layers"]),
                functions=tuple(header["functions"]),
                function_groups=tuple(header["function_groups"]),
                fraction=header["fraction"],
                alpha=header["alpha"],
                fdr=header["fdr"],
                n_permutations=header["n_permutations"],
                provenance=Provenance.from_json(header["provenance"]),
                baseline={n: arrays[f"baseline.{i}"] for i, n in enumerate(header["baselines"])},
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(
                f"{path} is not a whole finding of functional experts ({error})"
            ) from error  # noqa: E501

    def to_json(self) -> dict[str, Any]:
        """The tables for machines."""
        return {
            "layers": [
                {
                    **asdict(layer),
                    "min_p": float(self.min_p[i]),
                    "rules": {rule: self._rule_json(i, rule) for rule in RULES},
                }
                for i, layer in enumerate(self.layers)
            ],
            "fraction": self.fraction,
            "alpha": self.alpha,
            "fdr": self.fdr,
            "n_experts": self.n_experts,
            "functional": [
                {
                    "site": self.layers[i].site,
                    "function": self.functions[f],
                    "expert": int(e),
                    "count": int(self.counts[i, f, e]),
                    "expected": float(self.expected()[i, e]),
                    "enrichment": float(self.enrichment()[i, f, e]),
                    "odds_ratio": [float(end) for end in self.odds_ratio()[i, f, e]],
                    "p": float(self.p[i, f, e]),
                    "q": float(self.q[i, f, e]),
                    "published": bool(self.functional("published")[i, f, e]),
                }
                for i, f, e in np.argwhere(self.functional() | self.functional("published"))
            ],
        }

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        return (
            f"<FunctionalExperts: {len(self.functions)} functions, {self.n_experts} experts in "
            f"each of {len(self.layers)} layers, functional {int(self.functional().sum())} at FDR "
            f"{self.fdr}>"
        )

    def _repr_html_(self) -> str:
        return as_html(self)

    def _rule_json(self, layer: int, rule: Rule) -> dict[str, Any]:
        return {
            "functions_with_an_expert": int(self.functions_with_an_expert(rule)[layer]),
            "functions_with_an_expert_in": {
                name: int(found[RULES.index(rule), layer]) for name, found in self.baseline.items()
            },
            "proportion": _json(self.proportion(layer, rule)),
            "degree": _json(self.degree(layer, rule)),
        }


def _check(rule: str) -> None:
    if rule not in RULES:
        raise BadInput(f"rule {rule!r}: expected one of {', '.join(RULES)}")


def _against(value: float, null: Float[np.ndarray, " draws"]) -> AgainstChance:
    mean, sd = float(null.mean()), float(null.std(ddof=1)) if len(null) > 1 else float("nan")
    z = (value - mean) / sd if sd > 0 else float("nan")
    # Means of the same numbers may round differently in another order.
    p = (1 + int((null >= value - 1e-12).sum())) / (1 + len(null))
    return AgainstChance(value, mean, sd, z, p)


def _json(found: AgainstChance) -> dict[str, float | None]:
    return {k: v if np.isfinite(v) else None for k, v in found._asdict().items()}
