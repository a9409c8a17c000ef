"""Documents of a `datasets` object in memory or on disk, of a stream, or of a hub name."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from interp.corpus.documents import Document, Source, document_of
from interp.corpus.labels import LabelScan, LabelScheme
from interp.results.errors import BadInput
from interp.results.hashing import sha256_json

_SAMPLED = 1024


def dataset_source(dataset: Any, *, name: str, field: str, labels: tuple[str, ...]) -> Source:
    """The documents of a `datasets.Dataset`: its digest is of the text and labels themselves."""
    _check_columns(dataset.column_names, name, field, labels)
    parse = partial(_parse, name=name, field=field, labels=labels)
    kept = dataset.select_columns([field, *labels])

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        if order is None:
            yield from (parse(entry, i) for i, entry in enumerate(kept))
        else:
            yield from (parse(kept[int(i)], int(i)) for i in order)

    strings = LabelScan(labels)
    digest = _digest_of(read(None), strings)
    return Source(
        name=name,
        digest=digest,
        n_documents=len(dataset),
        read=read,
        scheme=strings.finish(),
    )


def stream_source(
    stream: Any, *, name: str, field: str, labels: tuple[str, ...], commit: str | None = None
) -> Source:
    """The documents of an `IterableDataset`, in its order.

    Its digest is of `commit` where the stream is a hub data set at that commit; of any other
    stream, which cannot be read whole to be told apart, it is of the first 1,024 documents.
    """
    _check_columns(stream.column_names, name, field, labels)
    parse = partial(_parse, name=name, field=field, labels=labels)

    def read(order: Sequence[int] | None) -> Iterator[Document]:
        if order is not None:
            raise BadInput(f"{name} is a stream and cannot be shuffled: leave the seed out")
        return (parse(entry, i) for i, entry in enumerate(stream))

    first = sha256_json([name, commit]) if commit else _digest_of(islice(read(None), _SAMPLED))
    return Source(
        name=name,
        digest=first,
        n_documents=None,
        read=read,
        digest_is_whole=commit is not None,
        scheme=LabelScheme(names=labels),
    )


def hub_source(name: str, *, split: str, field: str, labels: tuple[str, ...]) -> Source:
    """The documents of a hub data set, streamed: `owner/name` or `owner/name:configuration`."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    repository, _, configuration = name.partition(":")
    try:
        commit = HfApi().dataset_info(repository).sha
        stream = load_dataset(
            repository, configuration or None, split=split, streaming=True, revision=commit
        )
    except Exception as error:  # the hub, httpx and datasets each raise their own kinds
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(
            f"{name!r} is no file or directory here, and as a hub data set it cannot be opened: "
            f"{first}"
        ) from error
    full = f"{name}[{split}]"
    return stream_source(stream, name=full, field=field, labels=labels, commit=commit)


def _check_columns(
    columns: list[str] | None, name: str, field: str, labels: tuple[str, ...]
) -> None:
    for wanted in (field, *labels):
        if columns is not None and wanted not in columns:
            raise BadInput(f"{name} has no column {wanted!r}: its columns are {', '.join(columns)}")


def _parse(
    entry: Mapping[str, Any], number: int, *, name: str, field: str, labels: tuple[str, ...]
) -> Document:
    return document_of(entry, field=field, labels=labels, where=f"{name}, row {number + 1}")


def _digest_of(documents: Iterator[Document], strings: LabelScan | None = None) -> str:
    digest = hashlib.sha256()
    for document in documents:
        if strings is not None:
            strings.add(document.labels, document.where)
        digest.update(sha256_json([document.content, document.labels]).encode())
    return digest.hexdigest()
