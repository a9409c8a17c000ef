"""Documents of text, jsonl, parquet and CoNLL-U files, checked whole before the first is used.

A .txt file holds one document a line and a .jsonl file one JSON object a line; blank lines are
passed over. Lines end at the newline character alone: other separators of Unicode are text.
"""

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from interp.corpus.conllu import SUFFIX as CONLLU
from interp.corpus.conllu import conllu_source
from interp.corpus.documents import Document, Source, document_of, labels_of
from interp.corpus.labels import LabelScan, LabelScheme, merged_scheme
from interp.results.errors import BadInput, CorruptFile
from interp.results.hashing import sha256_file, sha256_json

if TYPE_CHECKING:
    import pyarrow.parquet as parquet

SUFFIXES = (".txt", ".jsonl", ".parquet", CONLLU)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def file_source(path: Path, *, field: str, labels: tuple[str, ...]) -> Source:
    """The documents of one file, or of a directory's files in the order of their names."""
    if path.is_dir():
        parts = [_one_file(file, field, labels) for file in sorted(_files(path))]
        return parts[0] if len(parts) == 1 else _joined(path, parts)
    return _one_file(path, field, labels)


def _files(directory: Path) -> list[Path]:
    files = [path for path in directory.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    if not files:
        raise BadInput(f"{directory} holds no {', '.join(SUFFIXES)} file")
    return files


def _one_file(path: Path, field: str, labels: tuple[str, ...]) -> Source:
    if path.suffix not in SUFFIXES:
        raise BadInput(f"{path}: text is read from {', '.join(SUFFIXES)} files")
    if not path.is_file():
        raise BadInput(f"no file {path}" if not path.exists() else f"{path} is no regular file")
    try:
        if path.suffix == ".parquet":
            return _parquet_source(path, field, labels)
        if path.suffix == CONLLU:
            return conllu_source(path, labels=labels)
        return _line_source(path, field, labels)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error


def _line_source(path: Path, field: str, labels: tuple[str, ...]) -> Source:
    if path.suffix == ".txt" and labels:
        raise BadInput(f"{path}: a text file has no labels, a .jsonl or .parquet file has")
    parse = partial(_parse_line, path=path, field=field, labels=labels)
    offsets, numbers, digest, scheme = _scan(path, parse, labels)

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        with path.open("rb") as file:
            for i in range(len(offsets)) if order is None else order:
                file.seek(offsets[i])
                yield parse(file.readline(), number=int(numbers[i]))

    return Source(name=str(path), digest=digest, n_documents=len(offsets), read=read, scheme=scheme)


def _scan(
    path: Path, parse: "partial[Document]", labels: tuple[str, ...]
) -> tuple[Int[np.ndarray, " documents"], Int[np.ndarray, " documents"], str, LabelScheme]:
    """Byte offset and line number of every document, the file's SHA-256, and the strings of its
    labels; parses each once."""
    strings = LabelScan(labels)
    offsets, numbers = array("q"), array("q")
    digest = hashlib.sha256()
    position = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            digest.update(line)
            if line.strip(b" \t\r\n") not in (b"", _BYTE_ORDER_MARK):
                document = parse(line, number=number)
                strings.add(document.labels, document.where)
                offsets.append(position)
                numbers.append(number)
            position += len(line)
    found = np.array(offsets, np.int64), np.array(numbers, np.int64)
    return *found, digest.hexdigest(), strings.finish()


def _parse_line(
    line: bytes, *, number: int, path: Path, field: str, labels: tuple[str, ...]
) -> Document:
    where = f"{path}, line {number}"
    if number == 1:
        line = line.removeprefix(_BYTE_ORDER_MARK)
    try:
        text = line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8: {error.reason} at byte {error.start}") from error
    if path.suffix == ".txt":
        return Document(text, (), where)
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise BadInput(f"{where} is a JSON {type(entry).__name__}, an object was expected")
    return document_of(entry, field=field, labels=labels, where=where)


def _parquet_source(path: Path, field: str, labels: tuple[str, ...]) -> Source:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        with parquet.ParquetFile(path) as file:
            present, n_rows = file.schema_arrow.names, file.metadata.num_rows
    except ArrowException as error:
        raise CorruptFile(f"{path} is not a parquet file: {error}") from error
    for name in (field, *labels):
        if name not in present:
            raise BadInput(f"{path} has no column {name!r}: its columns are {', '.join(present)}")

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        with parquet.ParquetFile(path) as file:
            yield from _read_parquet(file, path, [field, *labels], order)

    return Source(
        name=str(path),
        digest=sha256_file(path),
        n_documents=n_rows,
        read=read,
        scheme=_parquet_scheme(path, labels),
    )


def _parquet_scheme(path: Path, labels: tuple[str, ...]) -> LabelScheme:
    import pyarrow.parquet as parquet

    strings, number = LabelScan(labels), 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(labels), batch_size=4096) if labels else ():
            for entry in batch.to_pylist():
                number += 1
                where = f"{path}, row {number}"
                strings.add(labels_of(entry, labels, where), where)
    return strings.finish()


def _read_parquet(
    file: "parquet.ParquetFile", path: Path, columns: list[str], order: Sequence[int] | None
) -> Iterator[Document]:
    """In file order batch by batch; in another order from the two columns held in memory."""
    field, *labels = columns

    def document(entry: dict, number: int) -> Document:
        where = f"{path}, row {number + 1}"
        return document_of(entry, field=field, labels=tuple(labels), where=where)

    if order is not None:
        table = file.read(columns=columns)
        for number in order:
            row = table.slice(number, 1).to_pylist()[0]
            yield document(row, number)
        return
    number = 0
    for batch in file.iter_batches(columns=columns, batch_size=1024):
        for entry in batch.to_pylist():
            yield document(entry, number)
            number += 1


def _joined(directory: Path, parts: list[Source]) -> Source:
    counts = [part.n_documents or 0 for part in parts]
    starts = np.cumsum([0, *counts])

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        if order is None:
            for part in parts:
                yield from part.read(None)
            return
        for number in order:
            i = int(np.searchsorted(starts, number, side="right")) - 1
            yield from parts[i].read([number - int(starts[i])])

    return Source(
        name=str(directory),
        digest=sha256_json([[Path(part.name).name, part.digest] for part in parts]),
        n_documents=int(starts[-1]),
        read=read,
        scheme=merged_scheme(parts[0].scheme.names, [part.scheme.values for part in parts]),
    )
