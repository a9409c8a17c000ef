"""ModelSize: a model's tensors and files by size, without a weight of it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from interp.abilities.planning.config_tensors import tensors_of_config
from interp.abilities.streaming.layout import ArraySpec, file_layout
from interp.models.identity import is_vocabulary
from interp.models.tokenizer import read_json
from interp.models.weight_files import FLOATS, locate_tensors
from interp.results.errors import BadInput

_POSITIONS = ("wpe.weight",)
_SHARD = 5_000_000_000
_FLOATS = frozenset(FLOATS.values())


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """What a plan knows of a model."""

    name: str
    tensors: tuple[ArraySpec, ...]
    """In the order of the files."""
    files: tuple[int, ...]
    """Bytes of every weight file, its header included."""
    companions: int
    """Bytes of config, tokenizer and index; 0 where they are not there to see."""
    exact: bool
    """Whether headers were read; otherwise shards of 5 GB are supposed."""

    @property
    def n(self) -> int:
        """Entries in all."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def n_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.n_bytes for tensor in self.tensors)

    @property
    def dtype(self) -> str:
        """The number format of most entries."""
        count: dict[str, int] = {}
        for tensor in self.tensors:
            count[tensor.dtype] = count.get(tensor.dtype, 0) + math.prod(tensor.shape)
        return max(sorted(count), key=count.__getitem__)

    @property
    def floats(self) -> tuple[ArraySpec, ...]:
        """The tensors that arithmetic is done on."""
        return tuple(tensor for tensor in self.tensors if tensor.dtype in _FLOATS)

    @property
    def ranked(self) -> tuple[ArraySpec, ...]:
        """Those that locating ranks: all but the tables of tokens and positions."""
        return tuple(
            tensor
            for tensor in self.floats
            if not is_vocabulary(tensor.name) and not tensor.name.endswith(_POSITIONS)
        )

    def as_dtype(self, dtype: str) -> "ModelSize":
        """The same model with its floats in another format, as one of ours writes it."""
        tensors = [
            ArraySpec(t.name, dtype if t.dtype in _FLOATS else t.dtype, t.shape)
            for t in self.tensors
        ]
        return _supposed(self.name, tensors, companions=self.companions)


def size_of(directory: Path) -> ModelSize:
    """From the headers of a model directory, each checked against its file."""
    spans = locate_tensors(directory)
    in_order = sorted(spans.values(), key=lambda span: (span.file, span.start, span.name))
    names = sorted({span.file for span in in_order})
    kept = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
    return ModelSize(
        name=str(directory),
        tensors=tuple(ArraySpec(span.name, span.dtype, span.shape) for span in in_order),
        files=tuple(file.stat().st_size for file in names),
        companions=sum(
            file.stat().st_size
            for file in directory.iterdir()
            if file.is_file() and file.suffix in kept and file.name != "interp.json"
        ),
        exact=True,
    )


def size_from_config(path: Path, *, dtype: str | None = None) -> ModelSize:
    """From a config.json alone."""
    if not path.is_file():
        raise BadInput(f"{path} is not a file: expected a model's config.json")
    return _from_fields(str(path), read_json(path), dtype=dtype)


def size_like(name: str, *, dtype: str | None = None) -> ModelSize:
    """Of a public model whose shape ships with us. BadInput lists them."""
    table = public_shapes()["models"]
    if name not in table:
        raise BadInput(f"no shape of {name!r} ships with us: there are {', '.join(sorted(table))}")
    return _from_fields(name, table[name]["config"], dtype=dtype)


@cache
def public_shapes() -> dict[str, Any]:
    """The table of public shapes, with where each is from and when that was checked."""
    text = files("interp.abilities.planning").joinpath("shapes.json").read_text(encoding="utf-8")
    return json.loads(text)


def file_bytes(arrays: Iterable[ArraySpec], *, head_bytes: int = 0) -> int:
    """Bytes of a safetensors file of ours with these arrays."""
    return file_layout(arrays, head_bytes=head_bytes).size


def _from_fields(name: str, config: Mapping[str, Any], *, dtype: str | None) -> ModelSize:
    written = dtype or str(config.get("dtype") or config.get("torch_dtype") or "float32")
    if written not in FLOATS:
        raise BadInput(f"dtype {written!r} is not one of {', '.join(FLOATS)}")
    shapes = tensors_of_config(config)
    return _supposed(name, [ArraySpec(n, FLOATS[written], s) for n, s in shapes.items()])


def _supposed(name: str, tensors: list[ArraySpec], *, companions: int = 0) -> ModelSize:
    shards: list[list[ArraySpec]] = [[]]
    filled = 0
    for tensor in tensors:
        if shards[-1] and filled + tensor.n_bytes > _SHARD:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.n_bytes
    sizes = [file_layout(shard, metadata={"format": "pt"}).size for shard in shards]
    return ModelSize(
        name=name,
        tensors=tuple(tensors),
        files=tuple(sizes),
        companions=companions,
        exact=False,
    )


def bytes_of(tensors: Iterable[ArraySpec]) -> int:
    """Bytes of some tensors together."""
    return sum(tensor.n_bytes for tensor in tensors)


def entries_of(tensors: Iterable[ArraySpec]) -> int:
    """Entries of some tensors together."""
    return sum(math.prod(tensor.shape) for tensor in tensors)
