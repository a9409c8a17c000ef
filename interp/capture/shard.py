"""One shard: an immutable HDF5 file of rows, built in memory and read with suspicion.

HDF5 never touches the disk itself while we write: after a failed write (a full disk) the library
crashes the process when it closes the file. So the file is built in memory, and its bytes are
written, synced and renamed by us.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np

from interp.capture.header import StoreHeader
from interp.capture.manifest import ShardEntry
from interp.capture.precision import ON_DISK
from interp.results.errors import CorruptFile

SCHEMA = "interp.shard/1"
_MAX_CHUNK_BYTES = 1 << 20
_MIN_CHUNK_BYTES = 1 << 12
_CHUNKS = 32


def dataset_layout(header: StoreHeader) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Trailing shape and dtype of every dataset, by its path in the file."""
    sites = {
        f"sites/{name}": (shape, ON_DISK[header.dtype]) for name, shape in header.sites.items()
    }
    columns = {
        f"columns/{name}": ((), np.dtype(dtype).newbyteorder("<"))
        for name, dtype in header.columns.items()
    }
    return {**sites, **columns}


def row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of one row of a dataset."""
    return max(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize, 1)


def chunk_rows(row_bytes: int, max_rows: int) -> int:
    """Rows of one chunk: about 32 chunks a dataset, 4 KiB to 1 MiB each, filled evenly.

    HDF5 allocates whole chunks, so uneven or few ones would leave a part of the file empty.
    """
    size = min(max(max_rows * row_bytes // _CHUNKS, _MIN_CHUNK_BYTES), _MAX_CHUNK_BYTES)
    n_chunks = -(-max_rows // max(size // row_bytes, 1))
    return -(-max_rows // n_chunks)


class ShardImage:
    """The bytes of one shard, growing in memory; equal rows give equal bytes."""

    def __init__(self, header: StoreHeader, index: int, max_rows: int) -> None:
        self.rows = 0
        self._max_rows = max(max_rows, 1)
        self._bytes = io.BytesIO()
        # The default library version bounds: files of `latest` need an outside tool after a crash.
        self._file = h5py.File(self._bytes, "w", driver="fileobj", track_order=False)
        self._file.attrs["schema"] = SCHEMA
        self._file.attrs["store"] = header.identity
        self._file.attrs["index"] = index
        self._datasets = {
            name: self._create(name, shape, dtype)
            for name, (shape, dtype) in dataset_layout(header).items()
        }

    def _create(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> h5py.Dataset:
        return self._file.create_dataset(
            name,
            shape=(self._max_rows, *shape),
            maxshape=(None, *shape),
            chunks=(
                chunk_rows(row_bytes(shape, dtype), self._max_rows),
                *(max(n, 1) for n in shape),
            ),
            dtype=dtype,
            track_times=False,
        )

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add rows; `arrays` holds every dataset by its path ("sites/NAME", "columns/NAME")."""
        n = len(next(iter(arrays.values())))
        for name, dataset in self._datasets.items():
            dataset[self.rows : self.rows + n] = arrays[name]
        self.rows += n

    def finish(self) -> memoryview:
        """The bytes of the finished file."""
        for dataset in self._datasets.values():
            dataset.resize(self.rows, axis=0)
        self._datasets.clear()
        self._file.close()
        return self._bytes.getbuffer()


class Shard:
    """A committed shard opened for reading; refuses what we would never have written."""

    def __init__(self, directory: Path, header: StoreHeader, entry: ShardEntry) -> None:
        self.path = directory / entry.name
        self._check_size(entry)
        with self._explained():
            self._file = h5py.File(self.path, "r")
        try:
            with self._explained():
                self._check(header, entry)
        except BaseException:
            self._file.close()
            raise

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of one dataset, as stored."""
        with self._explained():
            return self._dataset(name)[start:stop]

    def read_rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Single rows of one dataset, by increasing number, as stored."""
        with self._explained():
            return self._dataset(name)[rows]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Shard":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise CorruptFile(f"{self.path} is no HDF5 file of ours ({error})") from error

    def _check_size(self, entry: ShardEntry) -> None:
        if self.path.is_symlink() or not self.path.is_file():
            raise CorruptFile(f"{self.path} is missing or no ordinary file: capture it again")
        size = self.path.stat().st_size
        if size != entry.bytes:
            raise CorruptFile(
                f"{self.path} is {size} bytes where the manifest says {entry.bytes}: "
                "it was cut or replaced; delete it and run the capture again"
            )

    def _check(self, header: StoreHeader, entry: ShardEntry) -> None:
        attributes = dict(self._file.attrs)
        if attributes.get("schema") != SCHEMA:
            raise CorruptFile(f"{self.path} is no {SCHEMA} file")
        if attributes.get("store") != header.identity or attributes.get("index") != entry.index:
            raise CorruptFile(f"{self.path} belongs to another store or another place in this one")
        for name, (shape, dtype) in dataset_layout(header).items():
            self._check_dataset(name, (entry.rows, *shape), dtype)

    def _check_dataset(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        group, _, leaf = name.partition("/")
        links = self._file.get(group, getlink=True), self._link(group, leaf)
        if not all(isinstance(link, h5py.HardLink) for link in links):
            raise CorruptFile(f"{self.path}: {name} is missing or a link to somewhere else")
        dataset = self._dataset(name)
        creation = dataset.id.get_create_plist()
        if dataset.is_virtual or creation.get_external_count() or creation.get_nfilters():
            raise CorruptFile(f"{self.path}: {name} is virtual, external or compressed")
        if dataset.shape != shape or dataset.dtype != dtype:
            raise CorruptFile(
                f"{self.path}: {name} is {dataset.dtype} {dataset.shape}, not {dtype} {shape}"
            )
        if dataset.id.get_storage_size() < dataset.nbytes:
            raise CorruptFile(f"{self.path}: {name} declares more rows than the file holds")

    def _link(self, group: str, leaf: str) -> object:
        opened = self._file.get(group)
        return opened.get(leaf, getlink=True) if isinstance(opened, h5py.Group) else None

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = self._file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise CorruptFile(f"{self.path}: {name} is no dataset")
        return dataset
