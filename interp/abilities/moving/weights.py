"""AbilityWeights: an ability as numbers to add to a base model, R(A)."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt64

from interp.abilities.masks.arrays import map_arrays
from interp.abilities.masks.support import Support, checked_support
from interp.abilities.moving.recipe import ExtractionRecipe
from interp.models.identity import ModelIdentity
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import read_header, save_finding
from interp.results.hashing import sha256_bytes, sha256_json
from interp.results.provenance import Provenance

SCHEMA = "interp.ability/1"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class AbilityTensor:
    """One tensor's share of an ability."""

    support: Support
    """The entries that hold weights."""
    delta: Float32[np.ndarray, " count"]
    """What is added at those entries, in flat order."""
    dtype: str
    """Number format of the ability model's tensor, as safetensors writes it."""
    patch_positions: UInt64[np.ndarray, " patches"]
    """Entries where the rounded sum base + delta misses the ability model."""
    patch_bits: np.ndarray
    """What stands there in the ability model, bit for bit."""


@dataclass(frozen=True, kw_only=True)
class AbilityWeights:
    """R(A) of every tensor it touches; the arrays stay on disk until they are used."""

    tensors: dict[str, AbilityTensor]
    recipe: ExtractionRecipe
    base: ModelIdentity
    """The model that the weights are differences to."""
    provenance: Provenance
    data_sha256: str | None = None
    """Of the file that the arrays were read from; None if they never were in one."""
    tokenizer: Path | None = None
    """The base's tokenizer.json beside the file, where token tables are among the tensors."""

    @property
    def count(self) -> int:
        """Entries with a weight in all."""
        return sum(tensor.support.count for tensor in self.tensors.values())

    @property
    def share(self) -> float:
        """Entries with a weight over all entries of the base."""
        return self.count / self.base.n

    @property
    def digest(self) -> str:
        """What the weights are known by: the hash of their file, or of every array if in none."""
        if self.data_sha256 is not None:
            return self.data_sha256
        return sha256_json(
            {
                f"{kind}.{name}": [
                    str(array.dtype),
                    list(array.shape),
                    sha256_bytes(np.ascontiguousarray(array).tobytes()),
                ]
                for name, tensor in self.tensors.items()
                for kind, array in arrays_of(tensor).items()
            }
        )

    def counts_by_tensor(self) -> dict[str, int]:
        """Entries with a weight, of every tensor that has one."""
        return {name: tensor.support.count for name, tensor in self.tensors.items()}

    def dense(self, name: str) -> Float32[np.ndarray, "..."]:
        """The tensor's weights in its own shape, zero outside the support."""
        if name not in self.tensors:
            raise BadInput(f"the ability has no weights in {name!r}")
        tensor = self.tensors[name]
        flat = np.zeros(tensor.support.n_entries, dtype=np.float32)
        flat[tensor.support.positions(0, flat.size)] = tensor.delta
        return flat.reshape(tensor.support.shape)

    def save(self, path: Path, *, overwrite: bool = False) -> Path:
        """Write the weights as a finding directory; every array is read into memory for it."""
        arrays = {
            f"{kind}.{name}": array
            for name, tensor in self.tensors.items()
            for kind, array in arrays_of(tensor).items()
        }
        header = ability_header(
            tensors=self.tensors,
            recipe=self.recipe,
            base=self.base,
            provenance=self.provenance,
        )
        return save_finding(path, schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite)

    @classmethod
    def load(cls, path: Path, *, verify: bool = True) -> "AbilityWeights":
        """Open ability weights; their data stay on disk, mapped. CorruptFile if not sound."""
        path = Path(path)
        header = read_header(path, schema=SCHEMA)
        arrays = map_arrays(path, header, verify=verify)
        try:
            return cls(
                tensors={
                    name: _tensor(name, entry, arrays) for name, entry in header["tensors"].items()
                },
                recipe=ExtractionRecipe.from_json(header["recipe"]),
                base=ModelIdentity.from_json(header["base"]),
                provenance=Provenance.from_json(header["provenance"]),
                data_sha256=header["data_sha256"],
                tokenizer=path / TOKENIZER if (path / TOKENIZER).is_file() else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"the header of {path} lacks or garbles {error}") from error

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{count:,}</td></tr>"
            for name, count in self.counts_by_tensor().items()
        )
        head = f"{self.count:,} of {self.base.n:,} entries ({self.share:.4f})"
        return f"<p>AbilityWeights: {head}</p><table>{rows}</table>"


def arrays_of(tensor: AbilityTensor) -> dict[str, np.ndarray]:
    """The arrays of one tensor as they are named in the file, in the file's order."""
    return {
        "delta": tensor.delta,
        "support": tensor.support.data,
        "patch_positions": tensor.patch_positions,
        "patch_bits": tensor.patch_bits,
    }


def ability_header(
    *,
    tensors: dict[str, AbilityTensor],
    recipe: ExtractionRecipe,
    base: ModelIdentity,
    provenance: Provenance,
) -> dict[str, Any]:
    """The header of ability weights, without the schema and the hash of the data."""
    return {
        "recipe": recipe.to_json(),
        "base": base.to_json(),
        "count": sum(tensor.support.count for tensor in tensors.values()),
        "tensors": {
            name: {
                "shape": list(tensor.support.shape),
                "dtype": tensor.dtype,
                "encoding": tensor.support.encoding,
                "count": tensor.support.count,
                "patches": int(tensor.patch_positions.size),
            }
            for name, tensor in tensors.items()
        },
        "provenance": provenance.to_json(),
    }


def _tensor(name: str, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> AbilityTensor:
    support = checked_support(
        name=name,
        shape=tuple(entry["shape"]),
        encoding=entry["encoding"],
        data=arrays[f"support.{name}"],
        count=entry["count"],
    )
    delta = arrays[f"delta.{name}"]
    positions = arrays[f"patch_positions.{name}"]
    bits = arrays[f"patch_bits.{name}"]
    if delta.dtype != np.float32 or delta.shape != (support.count,):
        raise CorruptFile(f"tensor {name!r} has {delta.shape} weights for {support.count} entries")
    if positions.dtype != np.uint64 or positions.shape != bits.shape or positions.ndim != 1:
        raise CorruptFile(f"tensor {name!r} has a patch list of {positions.shape}: make it again")
    if positions.size and int(positions.max()) >= support.n_entries:
        raise CorruptFile(f"tensor {name!r} has a patch outside of it: make it again")
    return AbilityTensor(
        support=support,
        delta=delta,
        dtype=entry["dtype"],
        patch_positions=positions,
        patch_bits=bits,
    )
