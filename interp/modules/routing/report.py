"""RoutingReport: how well experts can be chosen, and what choosing costs, beside chance."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.finding import load_finding, save_finding
from interp.results.intervals import Interval
from interp.results.provenance import Provenance

SCHEMA = "interp.routing/1"
_ARRAYS = (
    *("ks", "mass", "effect_ks", "loss_change", "accuracy_change"),
    *("dense", "silent"),
)


class Contestant(NamedTuple):
    """A way to part the neurons and a way to choose among the parts."""

    partition: str
    """own, or random: shuffled neurons in experts of the same sizes."""
    router: str


@dataclass(frozen=True, kw_only=True)
class RoutingReport:
    """Captured contribution and change of loss for every router, on own and on random experts."""

    sites: tuple[str, ...]
    """Sites of neurons; for the loss all of them are MoEfied at once."""
    kinds: tuple[str, ...]
    """How the partition of each site was made."""
    measures: tuple[str, ...]
    """Of each site what an expert contributes: mass or norm."""
    n_experts: int
    contestants: tuple[Contestant, ...]
    ks: Int64[np.ndarray, " ks"]
    mass: Float64[np.ndarray, "sites contestants ks 3"]
    """Share of the contribution that the k chosen hold, mean over tokens: value, low and high.
    Own experts: bootstrap over items; random ones: least and largest of the draws."""
    effect_ks: Int64[np.ndarray, " effects"]
    loss_change: Float64[np.ndarray, "contestants effects 3"]
    """Loss of the MoEfied model minus the dense one's, nats a token, mean over items; as `mass`,
    the bootstrap paired by item."""
    accuracy_change: Float64[np.ndarray, "contestants effects 3"]
    """The same of accuracy; NaN for items without an answer."""
    dense: Float64[np.ndarray, " 2"]
    """Loss and accuracy of the model as it is."""
    silent: Float64[np.ndarray, " sites"]
    """Share of tokens where no expert contributes: they are left out of `mass`."""
    n_items: int
    n_tokens: int
    """Tokens measured on."""
    n_fit_tokens: int
    """Tokens that routers learnt from; none of them is measured on."""
    n_random: int
    provenance: Provenance

    def captured(self, site: str, partition: str, router: str, k: int) -> Interval:
        """The captured share at k; BadInput for a k, site or router that was not measured."""
        at = self.sites.index(site) if site in self.sites else -1
        column = np.flatnonzero(self.ks == k)
        if at < 0 or not len(column):
            raise BadInput(f"{site} at k = {k} was not measured: k of {self.ks.tolist()}")
        return Interval(*self.mass[at, self._row(partition, router), column[0]].tolist())

    def effect(self, partition: str, router: str, k: int, *, of: str = "loss") -> Interval:
        """The change of `loss` or `accuracy` at k."""
        column = np.flatnonzero(self.effect_ks == k)
        if not len(column):
            raise BadInput(f"k = {k} was not measured: {self.effect_ks.tolist()} were")
        values = self.loss_change if of == "loss" else self.accuracy_change
        return Interval(*values[self._row(partition, router), column[0]].tolist())

    def _row(self, partition: str, router: str) -> int:
        wanted = Contestant(partition, router)
        if wanted not in self.contestants:
            raise BadInput(f"no {router} on {partition} experts was measured")
        return self.contestants.index(wanted)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write to the directory `path`, whole or not at all."""
        header = {
            "sites": list(self.sites),
            "kinds": list(self.kinds),
            "measures": list(self.measures),
            "n_experts": self.n_experts,
            "contestants": [list(one) for one in self.contestants],
            "n_items": self.n_items,
            "n_tokens": self.n_tokens,
            "n_fit_tokens": self.n_fit_tokens,
            "n_random": self.n_random,
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | str) -> "RoutingReport":
        """Read what `save` wrote; CorruptFile if header and arrays do not fit together."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            found = cls(
                sites=tuple(header["sites"]),
                kinds=tuple(header["kinds"]),
                measures=tuple(header["measures"]),
                n_experts=header["n_experts"],
                contestants=tuple(Contestant(*one) for one in header["contestants"]),
                n_items=header["n_items"],
                n_tokens=header["n_tokens"],
                n_fit_tokens=header["n_fit_tokens"],
                n_random=header["n_random"],
                provenance=Provenance.from_json(header["provenance"]),
                **{name: arrays[name] for name in _ARRAYS},
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{path} is not a whole routing report ({error})") from error
        sizes = (len(found.sites), len(found.contestants), len(found.ks), 3)
        if found.mass.shape != sizes or found.loss_change.shape[:1] != sizes[1:2]:
            raise CorruptFile(f"{path}: arrays of {found.mass.shape} for {sizes}")
        return found

    def to_json(self) -> dict[str, Any]:
        """The tables for machines; NaN as null."""
        return {
            "sites": list(self.sites),
            "kinds": list(self.kinds),
            "measures": list(self.measures),
            "n_experts": self.n_experts,
            "ks": self.ks.tolist(),
            "captured": [
                {"site": site, **one._asdict(), "k": int(k), **_cell(self.mass[s, c, i])}
                for s, site in enumerate(self.sites)
                for c, one in enumerate(self.contestants)
                for i, k in enumerate(self.ks)
            ],
            "effects": [
                {
                    **one._asdict(),
                    "k": int(k),
                    "loss_change": _cell(self.loss_change[c, i]),
                    "accuracy_change": _cell(self.accuracy_change[c, i]),
                }
                for c, one in enumerate(self.contestants)
                for i, k in enumerate(self.effect_ks)
            ],
            "dense_loss": _plain(self.dense[0]),
            "dense_accuracy": _plain(self.dense[1]),
            "silent": [_plain(share) for share in self.silent],
            "n_items": self.n_items,
            "n_tokens": self.n_tokens,
            "n_fit_tokens": self.n_fit_tokens,
            "n_random": self.n_random,
        }

    def __repr__(self) -> str:
        return (
            f"<RoutingReport of {len(self.sites)} layers, {self.n_experts} experts, "
            f"{len(self.contestants)} contestants over {self.n_items} items>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html_text(repr(self))}</p>"


def _cell(values: Float64[np.ndarray, " 3"]) -> dict[str, Any]:
    value, low, high = (_plain(v) for v in values)
    return {"value": value, "interval": [low, high]}


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
