"""The arrays of a large finding, mapped from their file instead of read into memory."""

from pathlib import Path
from typing import Any

import numpy as np

from interp.models.weight_files import TensorSpan, read_layout
from interp.results.errors import CorruptFile
from interp.results.finding import DATA
from interp.results.hashing import sha256_file

STORED_AS = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "F8_E5M2": np.uint8,
    "F8_E4M3": np.uint8,
    "I16": np.int16,
    "U16": np.uint16,
    "F16": np.float16,
    "BF16": np.uint16,
    "I32": np.int32,
    "U32": np.uint32,
    "F32": np.float32,
    "I64": np.int64,
    "U64": np.uint64,
    "F64": np.float64,
}
"""The NumPy type that holds an entry's bits; numbers NumPy lacks are raw words."""


def map_arrays(path: Path, header: dict[str, Any], *, verify: bool) -> dict[str, np.ndarray]:
    """Every array of the finding at `path` as a read-only map of its data file.

    `verify` compares the data's SHA-256 with the header's. Raises CorruptFile.
    """
    data = path / DATA
    if not data.is_file():
        raise CorruptFile(f"{data} is missing: {path} is not a whole finding")
    if verify and sha256_file(data) != header.get("data_sha256"):
        raise CorruptFile(f"{data} does not match its header's checksum: make the finding again")
    return {name: _map(span) for name, span in read_layout(data).items()}


def _map(span: TensorSpan) -> np.ndarray:
    dtype = STORED_AS[span.dtype]
    if span.n_entries == 0:
        return np.empty(span.shape, dtype)
    return np.memmap(span.file, dtype, mode="r", offset=span.start, shape=span.shape)
