"""Where every tensor of a Hugging Face directory lies: safetensors headers, read with suspicion.

A header comes from a stranger. Its length, its offsets and the file names of an index are checked
against the files on disk before anything of that size is allocated.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.results.errors import BadInput, CorruptFile, Unsupported

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself."""
MAX_INDEX_BYTES = 256 << 20
BYTES_OF = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E5M2": 1,
    "F8_E4M3": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}


FLOATS = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}
"""What configs call the formats of floats, and what safetensors calls them."""
_WRITTEN = tuple(FLOATS)[:3]


def float_format(dtype: str) -> str:
    """A format that models are written in, as safetensors names it; BadInput for any other."""
    if dtype not in _WRITTEN:
        raise BadInput(f"dtype {dtype!r} is not one of {', '.join(_WRITTEN)}")
    return FLOATS[dtype]


@dataclass(frozen=True, kw_only=True)
class TensorSpan:
    """One tensor's place on disk."""

    name: str
    dtype: str
    """As safetensors writes it: F32, BF16, ..."""
    shape: tuple[int, ...]
    file: Path
    start: int
    """First byte, from the start of the file."""
    n_bytes: int

    @property
    def n_entries(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)


def read_layout(file: Path) -> dict[str, TensorSpan]:
    """Every tensor of one safetensors file, in the order of their bytes.

    Raises CorruptFile unless the tensors fill the file exactly: contiguous, not overlapping, none
    named twice, no byte left over; Unsupported for a number format we do not know.
    """
    size = _size(file)
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES):
            raise CorruptFile(
                f"{file} claims a header of {length} bytes in a file of {size}: {_AGAIN}"
            )
        text = handle.read(length)
    header = _parse(text, file)
    header.pop("__metadata__", None)
    spans = [_span(name, entry, file=file, data_start=8 + length) for name, entry in header.items()]
    spans.sort(key=lambda span: (span.start, span.n_bytes))
    _check_contiguous(spans, file=file, data_start=8 + length, size=size)
    return {span.name: span for span in spans}


def header_bytes(file: Path) -> bytes:
    """The length word and the header, as they stand at the start of a file already checked."""
    with file.open("rb") as handle:
        prefix = handle.read(8)
        return prefix + handle.read(int.from_bytes(prefix, "little"))


def weight_files(directory: Path) -> list[Path]:
    """The safetensors files of a model directory: the single file, or the shards of its index."""
    if (directory / INDEX).is_file():
        return sorted({directory / name for name in _weight_map(directory).values()})
    if (directory / SINGLE).is_file():
        return [directory / SINGLE]
    if not directory.is_dir():
        raise BadInput(f"{directory} is not a directory: expected a Hugging Face model directory")
    raise Unsupported(
        f"{directory} holds neither {SINGLE} nor {INDEX}: only safetensors weights are read, "
        "save the model again with save_pretrained"
    )


def locate_tensors(directory: Path) -> dict[str, TensorSpan]:
    """Every tensor of a model directory by name, sorted by name; its index and its shards agree."""
    found: dict[str, TensorSpan] = {}
    for file in weight_files(directory):
        for name, span in read_layout(file).items():
            if name in found:
                raise CorruptFile(f"tensor {name!r} is in {found[name].file} and again in {file}")
            found[name] = span
    if (directory / INDEX).is_file():
        _check_index(directory, found)
    return dict(sorted(found.items()))


_AGAIN = "it is truncated or no safetensors file, fetch it again"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError as error:
        raise CorruptFile(
            f"{file} is missing, though the index names it: fetch it again"
        ) from error


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if any(not name.isprintable() for name in content):
        raise ValueError("a name in it holds control characters")
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands in it twice")
    return content


def _parse(text: bytes, file: Path) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_refuse_repeats)
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"the header of {file} is not valid ({error}): {_AGAIN}") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"the header of {file} is no JSON object: {_AGAIN}")
    return content


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _span(name: str, entry: Any, *, file: Path, data_start: int) -> TensorSpan:
    fields = entry if isinstance(entry, dict) else {}
    shape, offsets, dtype = (fields.get(key) for key in ("shape", "data_offsets", "dtype"))
    if not isinstance(shape, list) or not all(map(_whole, shape)):
        raise CorruptFile(f"tensor {name!r} of {file} has the shape {shape!r}: {_AGAIN}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise CorruptFile(f"tensor {name!r} of {file} has the offsets {offsets!r}: {_AGAIN}")
    if dtype not in BYTES_OF:
        raise Unsupported(
            f"tensor {name!r} of {file} is {dtype!r}: known are {', '.join(BYTES_OF)}"
        )
    n_bytes = math.prod(shape) * BYTES_OF[dtype]
    if offsets[1] - offsets[0] != n_bytes:
        raise CorruptFile(
            f"tensor {name!r} of {file} needs {n_bytes} bytes and has "
            f"{offsets[1] - offsets[0]}: {_AGAIN}"
        )
    return TensorSpan(
        name=name,
        dtype=dtype,
        shape=tuple(shape),
        file=file,
        start=data_start + offsets[0],
        n_bytes=n_bytes,
    )


def _check_contiguous(spans: list[TensorSpan], *, file: Path, data_start: int, size: int) -> None:
    end = data_start
    for span in spans:
        if span.start != end:
            raise CorruptFile(
                f"tensor {span.name!r} of {file} starts at byte {span.start}, "
                f"expected {end}: {_AGAIN}"
            )
        end += span.n_bytes
    if end != size:
        raise CorruptFile(f"{file} is {size} bytes, its tensors end at {end}: {_AGAIN}")


def _weight_map(directory: Path) -> dict[str, str]:
    index = directory / INDEX
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise CorruptFile(f"{index} is {index.stat().st_size} bytes: no index is that long")
    weight_map = _parse(index.read_bytes(), index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CorruptFile(f"{index} has no weight_map: fetch it again")
    for name in weight_map.values():
        if (
            not isinstance(name, str)
            or not name.endswith(".safetensors")
            or Path(name).name != name
        ):
            raise CorruptFile(f"{index} names the shard {name!r}: expected a file in the directory")
    return weight_map


def _check_index(directory: Path, found: dict[str, TensorSpan]) -> None:
    weight_map = _weight_map(directory)
    for name, file in weight_map.items():
        if name not in found or found[name].file.name != file:
            raise CorruptFile(
                f"{directory / INDEX} places {name!r} in {file}, which does not hold it"
            )
    extra = sorted(found.keys() - weight_map.keys())
    if extra:
        raise CorruptFile(f"{found[extra[0]].file} holds {extra[0]!r}, which {INDEX} does not name")
