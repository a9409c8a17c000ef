"""UnitChoice: which neurons, heads, layers or tensors a mask holds, with the score of every one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64

from interp.abilities.masks.support import Support
from interp.abilities.units.units import Layout
from interp.results.errors import CorruptFile

SharedKeys = Literal["strict", "any"]
"""When whole heads take the key and value head of their group: if all of its query heads are
chosen, or if any is."""

MOST_UNITS = 1 << 28
"""More than any model has: a header that claims more is not believed."""


@dataclass(frozen=True, kw_only=True)
class UnitChoice:
    """The chosen units of one kind of one model, a row a layer (one row for all tensors)."""

    kind: str
    layout: Layout
    chosen: Bool[np.ndarray, "row unit"]
    ranked: Bool[np.ndarray, "row unit"]
    """False for units that were left out, as tables and norms at the level of tensors."""
    scores: Float32[np.ndarray, "row unit"] | None
    """NaN where a unit was not ranked; None where units were drawn or combined."""
    kv: SharedKeys = "strict"

    @property
    def count(self) -> int:
        """Chosen units."""
        return int(self.chosen.sum())

    @property
    def n(self) -> int:
        """Units that were ranked."""
        return int(self.ranked.sum())

    def said(self) -> str:
        """As in "12 of 144 neurons"."""
        names = {"kv_head": "key and value heads", "q_head": "query heads"}
        return f"{self.count:,} of {self.n:,} {names.get(self.kind, f'{self.kind}s')}"

    def by_layer(self) -> dict[str, tuple[int, int]]:
        """Chosen and ranked units of every layer; of tensors, of every type."""
        names = list(dict.fromkeys(self.layout.tensor_types())) if self.kind == "tensor" else None
        strata, found = self.strata(), {}
        for stratum in np.unique(strata[self.ranked]).tolist():
            within = self.ranked & (strata == stratum)
            label = str(stratum) if names is None else names[stratum]
            found[label] = int(self.chosen[within].sum()), int(within.sum())
        return found

    def lines(self) -> list[str]:
        """Counts by layer (of layers their numbers), and for heads what they share, as text."""
        if self.kind == "layer":
            chosen = np.flatnonzero(self.chosen[:, 0]).tolist()
            return [f"  layers {', '.join(map(str, chosen)) or 'none'}"]
        prefix = "" if self.kind == "tensor" else "layer "
        lines = [f"  {prefix}{name}: {c:,} of {n:,}" for name, (c, n) in self.by_layer().items()]
        if self.kind == "head":
            sizes, shared = self.sizes(), self.shared_keys()
            lines.append(
                f"  {sizes['q_head']:,} entries of query heads, {sizes['kv_head']:,} of "
                f"{int(shared.sum()):,} of {shared.size:,} key and value heads (kv {self.kv})"
            )
        return lines

    def summary(self) -> dict[str, Any]:
        """The counts as JSON, and the chosen ids by row."""
        return {
            "kind": self.kind,
            "kv": self.kv,
            "count": self.count,
            "n": self.n,
            "by_layer": {name: list(counts) for name, counts in self.by_layer().items()},
            "ids": {
                str(row): np.flatnonzero(held).tolist() for row, held in enumerate(self.chosen)
            },
        }

    def strata(self) -> Int64[np.ndarray, "row unit"]:
        """What a fair draw keeps the counts of: the layer; of layers nothing; of tensors the type.

        A tensor's type is its name within a layer, or its whole name outside of the layers.
        """
        rows, units = self.chosen.shape
        if self.kind == "layer":
            return np.zeros((rows, units), dtype=np.int64)
        if self.kind != "tensor":
            return np.repeat(np.arange(rows)[:, None], units, axis=1)
        types = self.layout.tensor_types()
        number = {name: i for i, name in enumerate(dict.fromkeys(types))}
        return np.array([[number[name] for name in types]], dtype=np.int64)

    def supports(self) -> dict[str, Support]:
        """The entries of the chosen units, in every tensor that ranked units have entries in."""
        return {
            name: Support.from_dense(_spread(self.layout, name, held))
            for name in self.layout.tensors_of(self.kind)
            if (held := self._held(name)) is not None
        }

    def sizes(self) -> dict[str, int]:
        """Entries by the kind that owns them: of heads the query and the shared part apart."""
        if self.kind != "head":
            return {self.kind: sum(s.count for s in self.supports().values())}
        return {
            part: sum(s.count for s in self._part(part).supports().values())
            for part in ("q_head", "kv_head")
        }

    def shared_keys(self) -> Bool[np.ndarray, "layer kv_head"]:
        """The key and value heads that whole heads take along."""
        grouped = self.chosen.reshape(len(self.chosen), -1, self.layout.sizes.heads_per_group)
        rule = np.logical_and if self.kv == "strict" else np.logical_or
        return rule.reduce(grouped, axis=2)

    def _part(self, kind: str) -> "UnitChoice":
        """The query heads, or the key and value heads, of whole heads."""
        chosen = self.chosen if kind == "q_head" else self.shared_keys()
        return UnitChoice(
            kind=kind,
            layout=self.layout,
            chosen=chosen,
            ranked=np.ones_like(chosen),
            scores=None,
            kv=self.kv,
        )

    def _held(self, name: str) -> Bool[np.ndarray, " length"] | None:
        """Which indices of a tensor's axis the choice holds; None if it ranks none of them."""
        length = self.layout.length(name)
        row = self.layout.layers[name]
        if self.kind == "tensor":
            place = list(self.layout.shapes).index(name)
            if not self.ranked[0, place]:
                return None
            return np.full(length, self.chosen[0, place])
        if row is None:
            return None
        if self.kind == "layer":
            return np.full(length, self.chosen[row, 0]) if self.ranked[row, 0] else None
        if self.kind == "head":
            parts = self._part("q_head")._held(name), self._part("kv_head")._held(name)
            held = [part for part in parts if part is not None]
            return np.logical_or.reduce(held) if held else None
        owner = self.layout.owners(name, self.kind)
        if not (owner >= 0).any():
            return None
        return np.where(owner >= 0, self.chosen[row][owner], False)

    def header(self) -> dict[str, Any]:
        """What stands of it in a mask's header."""
        return {
            "kind": self.kind,
            "kv": self.kv,
            "count": self.count,
            "shape": list(self.chosen.shape),
            "unranked": np.flatnonzero(~self.ranked).tolist(),
            "layout": self.layout.to_json(),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """What lies of it in a mask's data: sorted ids by layer, and all scores."""
        ids = {
            f"units.{self.kind}.{row}": np.flatnonzero(chosen).astype(np.int32)
            for row, chosen in enumerate(self.chosen)
        }
        return ids | ({} if self.scores is None else {f"scores.{self.kind}": self.scores})

    @classmethod
    def read(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "UnitChoice":
        """The inverse of `header` and `arrays`. Raises CorruptFile where they do not agree."""
        kind, shape = header["kind"], tuple(header["shape"])
        layout = Layout.from_json(header["layout"])
        if shape != layout.grid(kind) or shape[0] * shape[1] > MOST_UNITS:
            raise CorruptFile(f"the mask has {shape} units {kind!r}: its model {layout.grid(kind)}")
        chosen = np.zeros(shape, dtype=bool)
        for row in range(shape[0]):
            ids = arrays[f"units.{kind}.{row}"]
            inside = not ids.size or (int(ids[0]) >= 0 and int(ids[-1]) < shape[1])
            if ids.dtype != np.int32 or not inside or not bool((ids[1:] > ids[:-1]).all()):
                raise CorruptFile(
                    f"the ids of units {kind!r} in row {row} are not sorted and valid"
                )
            chosen[row, ids] = True
        ranked = np.ones(shape, dtype=bool)
        ranked.reshape(-1)[header["unranked"]] = False
        scores = arrays.get(f"scores.{kind}")
        if scores is not None and (scores.dtype != np.float32 or scores.shape != shape):
            raise CorruptFile(f"the scores of units {kind!r} are not float32 of shape {shape}")
        if int(chosen.sum()) != header["count"]:
            raise CorruptFile(f"the mask holds {int(chosen.sum())} units, not {header['count']}")
        return cls(
            kind=kind, layout=layout, chosen=chosen, ranked=ranked, scores=scores, kv=header["kv"]
        )


def _spread(
    layout: Layout, name: str, held: Bool[np.ndarray, " length"]
) -> Bool[np.ndarray, "..."]:
    """A tensor that is true where its row or column is held."""
    shape = layout.shapes[name]
    aligned = held.reshape([-1 if axis == layout.axis(name) else 1 for axis in range(len(shape))])
    return np.ascontiguousarray(np.broadcast_to(aligned, shape))
