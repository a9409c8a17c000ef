"""Specialization: the scores of several sites for the same functions, and their curve over layers.

The published curve (arXiv 2305.18390) is the best score of a layer, averaged over the sub-functions
of a function; a best of many is high by chance, so it stands beside the best under labels that were
put in other places.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from interp.neurons.scores import NeuronScores
from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.finding import HEADER, read_header
from interp.results.significance import benjamini_hochberg

SCHEMA = "interp.specialization/1"


class Curve(NamedTuple):
    """One function's line over the sites, beside the lines that chance and other models give."""

    group: str
    best: Float[np.ndarray, " sites"]
    """The best unit's score, averaged over the function's sub-functions."""
    null_mean: Float[np.ndarray, " sites"]
    """The mean of the same average under permuted labels."""
    null_high: Float[np.ndarray, " sites"]
    """Its .95 quantile over the shuffles."""
    baseline: dict[str, Float[np.ndarray, " sites"]]
    """The same line in other models, by their names; NaN where a site lacks them."""
    n_sub_functions: int


class Overlap(NamedTuple):
    """How many of the best `k` units two sub-functions share, averaged over sites and pairs."""

    groups: tuple[str, ...]
    share: Float[np.ndarray, "groups groups"]
    """Share of k; a sub-function is never paired with itself. NaN where a group has one alone."""
    chance: float
    """k / N, averaged over sites."""
    k: int


@dataclass(frozen=True, kw_only=True)
class Specialization:
    """The scores of several sites, in order, for the same functions."""

    sites: tuple[NeuronScores, ...]

    def __post_init__(self) -> None:
        """Raise BadInput unless all sites answer the same questions."""
        asked = {tuple(f.rows_sha256 for f in site.functions) for site in self.sites}
        if len(asked) != 1 or len({site.measure for site in self.sites}) != 1:
            raise BadInput("sites are compared on the same functions, rows and measure: score them")

    @property
    def groups(self) -> tuple[str, ...]:
        """The functions, in order."""
        return self.sites[0].groups

    def site(self, name: str) -> NeuronScores:
        """The scores of one site; BadInput naming those there are."""
        for scores in self.sites:
            if scores.site == name:
                return scores
        raise BadInput(f"no site {name!r}: there are {', '.join(s.site for s in self.sites)}")

    def curve(self, group: str) -> Curve:
        """One function's line."""
        rows = self.sites[0].of_group(group)
        null = [site.null_best[rows].mean(axis=0) for site in self.sites]
        names = dict.fromkeys(name for site in self.sites for name in site.baseline)
        nothing = np.full(self.sites[0].score.shape, np.nan)
        return Curve(
            group=group,
            best=np.array([site.best()[rows].mean() for site in self.sites]),
            null_mean=np.array([one.mean() for one in null]),
            null_high=np.array([np.quantile(one, 0.95) for one in null]),
            baseline={
                name: np.array(
                    [
                        site.baseline.get(name, nothing).max(axis=1)[rows].mean()
                        for site in self.sites
                    ]
                )
                for name in names
            },
            n_sub_functions=len(rows),
        )

    def q_best(self) -> Float[np.ndarray, "sites functions"]:
        """Of the best unit of every site and sub-function: family-wise over the units of a site,
        and with the false discovery rate controlled over sites and sub-functions."""
        p = np.stack([site.p_best() for site in self.sites])
        return benjamini_hochberg(p.ravel()).reshape(p.shape)

    def overlap(self, *, share: float = 0.01) -> Overlap:
        """Shared units of the best `share` (at least 5) within and between functions."""
        k = max(round(share * min(site.n_units for site in self.sites)), 5)
        shared = np.mean([site.overlap(k) for site in self.sites], axis=0)
        np.fill_diagonal(shared, np.nan)
        rows = [self.sites[0].of_group(group) for group in self.groups]
        means = [[_mean(shared[np.ix_(a, b)]) for b in rows] for a in rows]
        chance = float(np.mean([k / site.n_units for site in self.sites]))
        return Overlap(self.groups, np.array(means), chance, k)

    def to_json(self) -> dict[str, Any]:
        """The best of every site and function beside its chance, for machines."""
        q = self.q_best()
        return {
            "measure": self.sites[0].measure,
            "pooling": self.sites[0].pooling,
            "n_permutations": self.sites[0].n_permutations,
            "sites": {
                scores.site: {
                    "n_units": scores.n_units,
                    "n_dead": int(scores.dead.sum()),
                    "functions": [_summary(scores, j, float(q[i, j])) for j in range(q.shape[1])],
                }
                for i, scores in enumerate(self.sites)
            },
        }

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write a directory with a finding for each site, whole or not at all."""
        path = Path(path)
        header = {"schema": SCHEMA, "sites": [site.site for site in self.sites]}
        with atomic_directory(path, replace=overwrite) as directory:
            for site in self.sites:
                site.save(directory / site.site)
            (directory / HEADER).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Specialization":
        """A saved one, or the saved scores of a single site as one of a single site."""
        path = Path(path)
        try:
            header = read_header(path, schema=SCHEMA)
        except BadInput:
            return cls(sites=(NeuronScores.load(path),))
        names = header.get("sites")
        if not isinstance(names, list) or not all(_plain(name) for name in names):
            raise CorruptFile(f"{path / HEADER} does not name its sites: score the units again")
        return cls(sites=tuple(NeuronScores.load(path / name) for name in names))

    def __repr__(self) -> str:
        return f"Specialization({len(self.sites)} sites, functions {', '.join(self.groups)})"

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>" + "".join(s._repr_html_() for s in self.sites)


def _summary(scores: NeuronScores, index: int, q: float) -> dict[str, Any]:
    function, top = scores.functions[index], int(scores.top(index, 1)[0])
    null = scores.null_best[index]
    return {
        **function.to_json(),
        "best": float(scores.score[index].max()),
        "unit": top,
        "sign": int(scores.sign[index, top]),
        "null_best_mean": float(null.mean()),
        "null_best_95": float(np.quantile(null, 0.95)),
        "baseline_best": {name: float(b[index].max()) for name, b in scores.baseline.items()},
        "p": float(scores.p_best()[index]),
        "q": q,
        "n_specialised": int(scores.specialised()[index].sum()),
    }


def _mean(shares: np.ndarray) -> float:
    return float("nan") if np.isnan(shares).all() else float(np.nanmean(shares))


def _plain(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name and name not in ("", ".", "..")
