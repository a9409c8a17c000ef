"""Units of a decoder (neurons, heads, layers, tensors) and the exact entries each of them owns.

layout = layout_of(Path("models/base"))
neuron = layout.units("neuron")[7]
for tensor, slabs in layout.entries(neuron).items():
    print(tensor, [slab.index for slab in slabs])
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int64

from interp.abilities.units.layouts import family_named, family_of
from interp.abilities.units.segments import Family, Group, Place, Segment, Sizes
from interp.models.architectures import read_config
from interp.models.weight_files import locate_tensors
from interp.results.errors import BadInput, Mismatch, Unsupported

Kind = Literal["neuron", "q_head", "kv_head", "head", "layer", "tensor"]
"""head: a query head with the key and value head of its group. layer: every tensor with its
number."""
KINDS: tuple[str, ...] = get_args(Kind)
GROUPS: tuple[str, ...] = get_args(Group)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(?P<layer>\d+)\.(?P<rest>.+)$")


class Unit(NamedTuple):
    """One neuron, head, layer or tensor, or the part of a group (norms, tables) in one layer."""

    kind: str
    layer: int | None
    """None for what belongs to no layer."""
    index: int
    """Within the layer; of a tensor its place among all names, sorted; 0 for a layer or group."""


class Slab(NamedTuple):
    """Rows (axis 0) or columns (axis 1) of a tensor from `start` up to `stop`."""

    axis: int
    start: int
    stop: int

    @property
    def index(self) -> tuple[slice, ...]:
        """What takes the slab out of an array: array[slab.index]."""
        return (slice(None),) * self.axis + (slice(self.start, self.stop),)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the units of one model lie in its tensors."""

    family: str
    sizes: Sizes
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor, by name, sorted."""
    layers: Mapping[str, int | None]
    """The layer of every tensor."""
    segments: Mapping[str, tuple[Segment, ...]]
    """Of the tensors that neurons and heads share out; all segments of one lie on one axis."""
    groups: Mapping[str, str]
    """The group of every other tensor."""

    def per_layer(self, kind: str) -> int:
        """Units of a kind in each layer. Raises BadInput for tensors and groups."""
        counts = {
            "neuron": self.sizes.d_mlp,
            "q_head": self.sizes.n_heads,
            "kv_head": self.sizes.n_kv_heads,
            "head": self.sizes.n_heads,
            "layer": 1,
        }
        if kind not in counts:
            raise BadInput(f"units {kind!r} are not counted by layer: {', '.join(counts)} are")
        return counts[kind]

    def grid(self, kind: str) -> tuple[int, int]:
        """Rows and units in each: a row a layer, or one row for all tensors."""
        if kind == "tensor":
            return 1, len(self.shapes)
        return self.sizes.n_layers, self.per_layer(_known(kind))

    def tensors_of(self, kind: str) -> tuple[str, ...]:
        """The tensors that units of a kind have entries in; buffers are no weights."""
        weights = [name for name in self.shapes if self.groups.get(name) != "buffer"]
        if kind == "tensor":
            return tuple(weights)
        if kind == "layer":
            return tuple(name for name in weights if self.layers[name] is not None)
        parts = {"head": {"q_head", "kv_head"}}.get(kind, {_known(kind)})
        return tuple(
            name for name, segments in self.segments.items() if parts & {s.kind for s in segments}
        )

    def tensor_types(self) -> list[str]:
        """Of every tensor its name within its layer, or its whole name outside of the layers."""
        found = [_LAYER.search(name) for name in self.shapes]
        return [
            name if match is None else match["rest"]
            for name, match in zip(self.shapes, found, strict=True)
        ]

    def units(self, kind: str) -> tuple[Unit, ...]:
        """Every unit of a kind, by layer and index; of a group one for every layer that has it."""
        if kind == "tensor":
            return tuple(Unit(kind, self.layers[n], i) for i, n in enumerate(self.shapes))
        if kind in GROUPS:
            found = {self.layers[name] for name, group in self.groups.items() if group == kind}
            ordered = sorted(found, key=lambda layer: (layer is None, layer))
            return tuple(Unit(kind, layer, 0) for layer in ordered)
        each = self.per_layer(_known(kind))
        return tuple(Unit(kind, i, j) for i in range(self.sizes.n_layers) for j in range(each))

    def entries(self, unit: Unit) -> dict[str, tuple[Slab, ...]]:
        """The unit's entries: of every tensor that it has some in, rows or columns.

        A whole head has those of its query head and of the key and value head of its group, which
        other heads may share.
        """
        kind, layer, index = unit
        if kind == "tensor":
            name = list(self.shapes)[index]
            return {name: (self._whole(name),)}
        if kind == "layer":
            names = self.tensors_of("layer")
            return {n: (self._whole(n),) for n in names if self.layers[n] == layer}
        if kind in GROUPS:
            names = [name for name, group in self.groups.items() if group == kind]
            return {n: (self._whole(n),) for n in names if self.layers[n] == layer}
        if kind == "head":
            shared = Unit("kv_head", layer, index // self.sizes.heads_per_group)
            parts = self.entries(Unit("q_head", layer, index)), self.entries(shared)
            names = sorted(parts[0].keys() | parts[1].keys())
            return {n: parts[0].get(n, ()) + parts[1].get(n, ()) for n in names}
        return {
            name: slabs
            for name, segments in self.segments.items()
            if self.layers[name] == layer
            and (slabs := tuple(_slab(s, index) for s in segments if s.kind == kind))
        }

    def size(self, unit: Unit) -> int:
        """Entries of the unit."""
        return sum(
            self.n_entries(name) // self.shapes[name][slab.axis] * (slab.stop - slab.start)
            for name, slabs in self.entries(unit).items()
            for slab in slabs
        )

    def n_entries(self, name: str) -> int:
        """Entries of one tensor."""
        return int(np.prod(self.shapes[name], dtype=np.int64))

    def length(self, name: str) -> int:
        """Indices along the axis that units share a tensor out on."""
        shape = self.shapes[name]
        return shape[self.axis(name)] if shape else 1

    def axis(self, name: str) -> int:
        """The axis along which units share a tensor out; 0 if none do."""
        return self.segments[name][0].axis if name in self.segments else 0

    def owners(self, name: str, kind: str) -> Int64[np.ndarray, " length"]:
        """The unit of `kind` that every index along the tensor's axis belongs to; -1 for none."""
        length = self.length(name)
        owner = np.full(length, -1, dtype=np.int64)
        for segment in self.segments.get(name, ()):
            if segment.kind == kind:
                owner = np.maximum(owner, segment.owners(length))
        return owner

    def to_json(self) -> dict[str, Any]:
        """As it stands in a mask's header."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return {"family": self.family, "sizes": asdict(self.sizes), "shapes": shapes}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Layout":
        """The inverse of `to_json`. Raises Unsupported for a family we do not know."""
        shapes = {name: tuple(shape) for name, shape in content["shapes"].items()}
        sizes = Sizes(**content["sizes"])
        return laid_out(family_named(content["family"]), sizes, shapes, where="the mask's model")

    def _whole(self, name: str) -> Slab:
        return Slab(0, 0, self.shapes[name][0] if self.shapes[name] else 0)


def layout_of(directory: Path) -> Layout:
    """Where the units of the model in `directory` lie, from its config and safetensors headers.

    Raises Unsupported for an architecture whose layout we do not know, or a tensor it has no place
    for; Mismatch where a tensor's shape is not the one that the config asks for.
    """
    directory = Path(directory)
    shapes = {name: span.shape for name, span in locate_tensors(directory).items()}
    return layout_from(read_config(directory), shapes, where=str(directory))


def layout_from(
    config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, where: str
) -> Layout:
    """The layout of a config and the shapes of its tensors, as `layout_of`."""
    named = config.get("architectures") or [None]
    family = family_of(str(named[0]), model_type=str(config.get("model_type")))
    try:
        sizes = family.sizes(config)
    except KeyError as error:
        raise Mismatch(f"the config of {where} has no field {error}: write it there") from error
    return laid_out(family, sizes, shapes, where=where)


def laid_out(
    family: Family, sizes: Sizes, shapes: Mapping[str, tuple[int, ...]], *, where: str
) -> Layout:
    """The layout of a family's model of some sizes, as `layout_of`."""
    known = family.places(sizes)
    layers: dict[str, int | None] = {}
    segments: dict[str, tuple[Segment, ...]] = {}
    groups: dict[str, str] = {}
    for name in sorted(shapes):
        layers[name], place = _place(name, family, known, where)
        if isinstance(place, str):
            groups[name] = place
            continue
        if place.shape != tuple(shapes[name]):
            raise Mismatch(
                f"tensor {name!r} of {where} has the shape {tuple(shapes[name])}: "
                f"its config asks for {place.shape}"
            )
        segments[name] = place.segments
    numbers = {layer for layer in layers.values() if layer is not None}
    if numbers != set(range(sizes.n_layers)):
        raise Mismatch(f"{where} has tensors of {len(numbers)} layers, not of {sizes.n_layers}")
    return Layout(
        family=family.name,
        sizes=sizes,
        shapes={name: tuple(shapes[name]) for name in layers},
        layers=layers,
        segments=segments,
        groups=groups,
    )


def _place(
    name: str, family: Family, known: Mapping[str, Place | Group], where: str
) -> tuple[int | None, Place | Group]:
    found = _LAYER.search(name)
    if found is not None and found["rest"] in known:
        return int(found["layer"]), known[found["rest"]]
    for ending, group in family.outside.items():
        if found is None and (name == ending or name.endswith(f".{ending}")):
            return None, group
    raise Unsupported(f"tensor {name!r} of {where} has no place in the layout {family.name!r}")


def _slab(segment: Segment, index: int) -> Slab:
    start = segment.start + index * segment.stride
    return Slab(segment.axis, start, start + segment.width)


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise BadInput(f"no units {kind!r}: there are {', '.join((*KINDS, *GROUPS))}")
    return kind
