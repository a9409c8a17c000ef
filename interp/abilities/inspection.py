"""What a mask, ability weights or a model that we wrote hold: counts by tensor type and layer."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from interp.abilities.masks.mask import SCHEMA as MASK_SCHEMA
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.mask_layout import tensor_place
from interp.abilities.masks.support import Support
from interp.abilities.moving.lineage import FILE, Lineage
from interp.abilities.moving.weights import SCHEMA as ABILITY_SCHEMA
from interp.abilities.moving.weights import AbilityWeights
from interp.models.identity import ModelIdentity, model_identity
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import HEADER, read_header

_PIECE = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many entries of how many, and the norm of what is added there."""

    count: int
    entries: int
    norm: float | None
    """Euclidean norm of the weights; None for a mask."""

    @property
    def share(self) -> float:
        """Chosen over all."""
        return self.count / self.entries if self.entries else 0.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One finding, counted."""

    kind: str
    """mask or ability."""
    path: str
    base: ModelIdentity
    recipe: dict[str, Any]
    total: Count
    """Its entries are those of the whole base."""
    patches: int
    """Entries restored bit for bit, because the sum would miss them."""
    by_type: dict[str, Count]
    """By kind of tensor within a layer, or by name outside of the layers."""
    by_layer: dict[str, Count]
    """By layer index; "-" for tensors of no layer."""
    units: dict[str, Any] | None = None
    """Kind, counts by layer and ids of the units that a mask holds; None for single entries."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        base = {key: value for key, value in self.base.to_json().items() if key != "tensors"}
        return {**asdict(self), "base": base, "share": self.total.share}


def inspect_finding(path: Path) -> Summary | Lineage:
    """The summary of a mask or of ability weights, or the lineage of a model that we wrote.

    Raises BadInput for a directory that is none of these, CorruptFile for one that is not sound:
    checksums are compared, for a model with the weights that its lineage was written for.
    """
    path = Path(path)
    if (path / HEADER).is_file():
        return _summary(path)
    lineage = Lineage.load(path)
    if lineage is None:
        raise BadInput(f"{path} has neither {HEADER} nor {FILE}: give a mask, weights or a model")
    if model_identity(path).root != lineage.root:
        raise CorruptFile(f"the weights in {path} are not those that its {FILE} was written for")
    return lineage


def _summary(path: Path) -> Summary:
    schema = _schema(path)
    if schema == MASK_SCHEMA:
        mask = NeuronMask.load(path)
        counted = _count(
            "mask",
            path,
            base=mask.base,
            recipe=mask.recipe,
            supports=mask.tensors,
            square_norms=None,
        )
        return replace(counted, units=None if mask.units is None else mask.units.summary())
    weights = AbilityWeights.load(path)
    tensors = weights.tensors
    return _count(
        "ability",
        path,
        base=weights.base,
        recipe=weights.recipe.to_json(),
        supports={name: tensor.support for name, tensor in tensors.items()},
        square_norms={name: _square_norm(tensor.delta) for name, tensor in tensors.items()},
        patches=sum(tensor.patch_positions.size for tensor in tensors.values()),
    )


def _schema(path: Path) -> str:
    try:
        found = json.loads((path / HEADER).read_text(encoding="utf-8")).get("schema")
    except (ValueError, AttributeError, RecursionError) as error:
        raise CorruptFile(f"{path / HEADER} is not a header of ours ({error})") from error
    if found not in (MASK_SCHEMA, ABILITY_SCHEMA):
        raise BadInput(f"{path} is {found!r}: expected {MASK_SCHEMA!r} or {ABILITY_SCHEMA!r}")
    read_header(path, schema=found)
    return found


def _count(
    kind: str,
    path: Path,
    *,
    base: ModelIdentity,
    recipe: dict[str, Any],
    supports: Mapping[str, Support],
    square_norms: Mapping[str, float] | None,
    patches: int = 0,
) -> Summary:
    def grouped(key: Any) -> dict[str, Count]:
        groups: dict[str, list[str]] = {}
        for name in supports:
            groups.setdefault(key(name), []).append(name)
        return {group: counted(names) for group, names in groups.items()}

    def counted(names: list[str], entries: int | None = None) -> Count:
        within = sum(supports[name].n_entries for name in names)
        square = None if square_norms is None else sum(square_norms[name] for name in names)
        return Count(
            count=sum(supports[name].count for name in names),
            entries=within if entries is None else entries,
            norm=None if square is None else square**0.5,
        )

    by_layer = grouped(_layer)
    return Summary(
        kind=kind,
        path=str(path),
        base=base,
        recipe=recipe,
        total=counted(list(supports), base.n),
        patches=patches,
        by_type=grouped(_type),
        by_layer=dict(sorted(by_layer.items(), key=lambda item: (len(item[0]), item[0]))),
    )


def _layer(name: str) -> str:
    layer, _ = tensor_place(name)
    return "-" if layer is None else str(layer)


def _type(name: str) -> str:
    return tensor_place(name)[1]


def _square_norm(delta: np.ndarray) -> float:
    pieces = (delta[at : at + _PIECE].astype(np.float64) for at in range(0, delta.size, _PIECE))
    return float(sum(np.dot(piece, piece) for piece in pieces))
