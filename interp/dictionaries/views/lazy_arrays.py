"""Arrays of a safetensors file as views of the file: bytes are read where an entry is asked for."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from interp.results.errors import CorruptFile

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def lazy_arrays(file: Path) -> dict[str, np.ndarray]:
    """Every array of `file`, read only; CorruptFile where it is no whole safetensors file."""
    try:
        # The library checks that offsets lie inside the file and cover it.
        with safe_open(file, framework="numpy"):
            pass
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        return {name: _view(file, 8 + length, entry) for name, entry in header.items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CorruptFile(f"{file} is not a whole safetensors file ({error})") from error


def _view(file: Path, start: int, entry: dict) -> np.ndarray:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(
        file, dtype=dtype, mode="r", offset=start + entry["data_offsets"][0], shape=shape
    )
