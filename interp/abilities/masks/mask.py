"""NeuronMask: which entries of a model an ability is located in."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from interp.abilities.masks.arrays import map_arrays
from interp.abilities.masks.support import Support, checked_support
from interp.abilities.units.unit_choice import UnitChoice
from interp.models.identity import ModelIdentity
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import read_header, save_finding
from interp.results.provenance import Provenance

SCHEMA = "interp.mask/1"


@dataclass(frozen=True, kw_only=True)
class NeuronMask:
    """A set of entries of a model's tensors, and how it was found."""

    tensors: dict[str, Support]
    """By tensor name: every tensor that was ranked, also those without a chosen entry."""
    level: str
    """What was ranked: "entry" for single numbers, or a kind of unit."""
    recipe: dict[str, Any]
    """Locator and every setting of it; JSON values only."""
    base: ModelIdentity
    """The model whose tensors these are."""
    provenance: Provenance
    threshold: float | None = None
    """The lowest chosen score; None where nothing was scored."""
    histogram: Int64[np.ndarray, " 65536"] | None = None
    """Scores counted by the upper 16 bits of their float32, ascending; None if not scored."""
    units: UnitChoice | None = None
    """The chosen units, whose entries `tensors` holds; None at the level of single entries."""

    @classmethod
    def from_dense(
        cls,
        masks: dict[str, Bool[np.ndarray, "..."]],
        *,
        level: str,
        recipe: dict[str, Any],
        base: ModelIdentity,
        provenance: Provenance,
    ) -> "NeuronMask":
        """A mask from one boolean array a tensor."""
        tensors = {name: Support.from_dense(mask) for name, mask in sorted(masks.items())}
        return cls(tensors=tensors, level=level, recipe=recipe, base=base, provenance=provenance)

    @property
    def count(self) -> int:
        """Chosen entries in all."""
        return sum(support.count for support in self.tensors.values())

    @property
    def share(self) -> float:
        """Chosen entries over all entries of the model (not only of the tensors ranked)."""
        return self.count / self.base.n

    def counts_by_tensor(self) -> dict[str, int]:
        """Chosen entries of every ranked tensor."""
        return {name: support.count for name, support in self.tensors.items()}

    def dense(self, name: str) -> Bool[np.ndarray, "..."]:
        """True where an entry of the tensor is chosen; nowhere in a tensor that was not ranked."""
        if name not in self.tensors:
            raise BadInput(f"the mask does not rank {name!r}: it ranks {len(self.tensors)} tensors")
        return self.tensors[name].dense()

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write the mask as a finding directory."""
        entries = {
            name: {"shape": list(s.shape), "encoding": s.encoding, "count": s.count}
            for name, s in self.tensors.items()
        }
        arrays = {f"support.{name}": s.data for name, s in self.tensors.items()}
        if self.histogram is not None:
            arrays["histogram"] = self.histogram
        if self.units is not None:
            arrays |= self.units.arrays()
        header = {
            "level": self.level,
            "recipe": self.recipe,
            "base": self.base.to_json(),
            "threshold": self.threshold,
            "count": self.count,
            "tensors": entries,
            "provenance": self.provenance.to_json(),
            **({} if self.units is None else {"units": self.units.header()}),
        }
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path, *, verify: bool = True) -> "NeuronMask":
        """Open a mask; its data stay on disk, mapped. CorruptFile where they are not sound."""
        path = Path(path)
        header = read_header(path, schema=SCHEMA)
        arrays = map_arrays(path, header, verify=verify)
        try:
            tensors = {
                name: checked_support(
                    name=name,
                    shape=tuple(entry["shape"]),
                    encoding=entry["encoding"],
                    data=arrays[f"support.{name}"],
                    count=entry["count"],
                )
                for name, entry in header["tensors"].items()
            }
            return cls(
                tensors=tensors,
                level=header["level"],
                recipe=header["recipe"],
                base=ModelIdentity.from_json(header["base"]),
                provenance=Provenance.from_json(header["provenance"]),
                threshold=header["threshold"],
                histogram=arrays.get("histogram"),
                units=UnitChoice.read(header["units"], arrays) if "units" in header else None,
            )
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise CorruptFile(f"the header of {path} lacks or garbles {error}") from error

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{s.count:,}</td><td>{s.n_entries:,}</td></tr>"
            for name, s in self.tensors.items()
        )
        head = f"{self.count:,} of {self.base.n:,} entries ({self.share:.4f})"
        of_units = "" if self.units is None else f", {html.escape(self.units.said())}"
        return f"<p>NeuronMask: {head}{of_units}</p><table>{rows}</table>"
