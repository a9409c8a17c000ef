"""ActivationStore: recorded activations, a row for every token, read through NumPy."""

import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float, Int, Shaped

from interp.capture.header import COLUMNS, StoreHeader, read_store_header
from interp.capture.manifest import Manifest, ShardEntry, read_manifest
from interp.capture.precision import Rounding, StoredDtype, from_disk
from interp.capture.shard import Shard, dataset_layout
from interp.results.errors import BadInput, CorruptFile
from interp.results.escape import html_text
from interp.results.hashing import sha256_file
from interp.results.provenance import Provenance

VOCABULARY = "vocabulary.json"
_MAX_OPEN_SHARDS = 8


class ActivationStore:
    """A directory of immutable HDF5 shards, their manifest and their header.

    Rows are numbered from 0 in corpus order over all committed shards; a store that is still being
    written shows the shards that were committed when it was opened.
    """

    def __init__(self, path: Path, header: StoreHeader, manifest: Manifest) -> None:
        self.path = path
        self.header = header
        self.manifest = manifest
        self._starts = np.cumsum([0, *(shard.rows for shard in manifest.shards)], dtype=np.int64)
        self._open_shards: OrderedDict[int, Shard] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> "ActivationStore":
        """The store at `path`; BadInput if there is none, CorruptFile if it was altered."""
        directory = Path(path)
        header = read_store_header(directory)
        return cls(directory, header, read_manifest(directory))

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of the recorded sites."""
        return tuple(self.header.sites)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what stands beside every row; labels come last."""
        return tuple(self.header.columns)

    @property
    def dtype(self) -> StoredDtype:
        """The format on disk."""
        return self.header.dtype

    @property
    def n_rows(self) -> int:
        """Rows of all committed shards."""
        return int(self._starts[-1])

    @property
    def is_complete(self) -> bool:
        """Whether the run that makes the store came to its end."""
        return self.manifest.ending is not None

    @property
    def provenance(self) -> Provenance:
        """What made the store."""
        return self.header.provenance

    @property
    def vocabulary(self) -> list[str] | None:
        """The string of every token id, or None for a model without a tokenizer."""
        if self.header.vocabulary_sha256 is None:
            return None
        file = self.path / VOCABULARY
        if not file.is_file() or sha256_file(file) != self.header.vocabulary_sha256:
            raise CorruptFile(f"{file} is missing or was altered: capture again")
        return json.loads(file.read_bytes())

    def shape(self, site: str) -> tuple[int, ...]:
        """Trailing shape of one row of `site`."""
        self._check_site(site)
        return self.header.sites[site]

    def rows(self, site: str, start: int, stop: int) -> Float[np.ndarray, "rows ..."]:
        """Rows [start, stop) of `site`; bfloat16 comes as float32, the others as they are."""
        self._check_site(site)
        return from_disk(self._read(f"sites/{site}", start, stop), self.dtype)

    def rows_at(self, site: str, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows ..."]:
        """Single rows of `site` by their numbers, in the order asked."""
        self._check_site(site)
        return from_disk(self._gather(f"sites/{site}", rows), self.dtype)

    def column(self, name: str, start: int, stop: int) -> Shaped[np.ndarray, " rows"]:
        """Entries [start, stop) of a column; the flags come as booleans."""
        if name not in self.header.columns:
            raise BadInput(f"{self.path} has no column {name!r}: {', '.join(self.columns)}")
        stored = self._read(f"columns/{name}", start, stop)
        is_flag = name in COLUMNS and name.startswith("is_")
        return stored.astype(bool) if is_flag else stored

    def label_values(self, name: str) -> tuple[str, ...] | None:
        """What the integers of a label stand for; None where the corpus gave numbers."""
        values = self.header.label_values.get(name)
        return None if values is None else tuple(values)

    def document_rows(self, document: int) -> Int[np.ndarray, " rows"]:
        """Numbers of the rows of one document, in order; BadInput if it has none."""
        found = [
            self._starts[i] + self._document_rows_in(i, document)
            for i, entry in enumerate(self.manifest.shards)
            if entry.documents[0] <= document <= entry.documents[1]
        ]
        rows = np.concatenate(found) if found else np.zeros(0, np.int64)
        if not len(rows):
            raise BadInput(f"{self.path} holds no row of document {document}")
        return rows

    def rounding(self) -> dict[str, Rounding]:
        """What the stored format lost, by site; empty for float32."""
        return self.manifest.rounding()

    def verify(self) -> None:
        """Read every byte and compare with the checksums; CorruptFile names the first bad shard."""
        for _, problem in self.problems():
            raise CorruptFile(problem)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Name and fault of everything that is not as it was committed."""
        try:
            _ = self.vocabulary
        except CorruptFile as error:
            yield VOCABULARY, str(error)
        sequence = 0
        for entry in self.manifest.shards:
            if self.is_complete and entry.sequences[0] != sequence:
                yield entry.name, f"sequences {sequence} to {entry.sequences[0]} are missing"
            sequence = entry.sequences[1]
            try:
                self._check_shard(entry)
            except CorruptFile as error:
                yield entry.name, str(error)

    def _check_shard(self, entry: ShardEntry) -> None:
        file = self.path / entry.name
        # The checksum first: HDF5 need not be trusted with bytes that are not ours.
        if not file.is_file() or file.is_symlink():
            raise CorruptFile(f"{file} is missing or no ordinary file: run the capture again")
        if sha256_file(file) != entry.sha256:
            raise CorruptFile(
                f"{file} was altered, its SHA-256 is not the manifest's: delete it and run the "
                "capture again"
            )
        Shard(self.path, self.header, entry).close()

    def close(self) -> None:
        """Close the shards held open for reading."""
        while self._open_shards:
            self._open_shards.popitem()[1].close()

    def __enter__(self) -> "ActivationStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "unfinished"
        return (
            f"ActivationStore({str(self.path)!r}: {self.n_rows:,} rows, {len(self.sites)} sites, "
            f"{self.dtype}, {state})"
        )

    def _repr_html_(self) -> str:
        sites = "".join(
            f"<tr><td>{html_text(name)}</td><td>{'×'.join(map(str, shape))}</td></tr>"
            for name, shape in self.header.sites.items()
        )
        return f"<p>{html_text(repr(self))}</p><table>{sites}</table>"

    def _document_rows_in(self, number: int, document: int) -> np.ndarray:
        n_rows = self.manifest.shards[number].rows
        column = self._shard(number).read("columns/document", 0, n_rows)
        return np.flatnonzero(column == document)

    def _check_site(self, site: str) -> None:
        if site not in self.header.sites:
            raise BadInput(f"{self.path} has no site {site!r}: it holds {', '.join(self.sites)}")

    def _shard(self, number: int) -> Shard:
        if number in self._open_shards:
            self._open_shards.move_to_end(number)
            return self._open_shards[number]
        shard = Shard(self.path, self.header, self.manifest.shards[number])
        self._open_shards[number] = shard
        if len(self._open_shards) > _MAX_OPEN_SHARDS:
            self._open_shards.popitem(last=False)[1].close()
        return shard

    def _read(self, name: str, start: int, stop: int) -> np.ndarray:
        if not 0 <= start <= stop <= self.n_rows:
            raise BadInput(f"rows {start} to {stop} of {self.path}: it has rows 0 to {self.n_rows}")
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, max(stop, start + 1), side="left"))
        pieces = [
            self._shard(i).read(
                name,
                max(start - int(self._starts[i]), 0),
                min(stop, int(self._starts[i + 1])) - int(self._starts[i]),
            )
            for i in range(first, min(last, len(self.manifest.shards)))
        ]
        if pieces:
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return self._empty(name)

    def _gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.n_rows:
            raise BadInput(
                f"row numbers {rows.min()} to {rows.max()}: {self.path} has {self.n_rows}"
            )
        wanted, order = np.unique(rows, return_inverse=True)
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        pieces = [
            self._shard(int(i)).read_rows(name, wanted[owners == i] - self._starts[i])
            for i in np.unique(owners)
        ]
        return np.concatenate(pieces)[order] if pieces else self._empty(name)

    def _empty(self, name: str) -> np.ndarray:
        shape, dtype = dataset_layout(self.header)[name]
        return np.zeros((0, *shape), dtype)
