"""A small store written by hand, with the tokens, documents and labels that a test asks for."""

from pathlib import Path

import numpy as np

from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import Ending, read_manifest, write_manifest
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.results.provenance import Provenance


def written(
    path: Path,
    sites: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    *,
    document: np.ndarray,
    token: np.ndarray | None = None,
    special: np.ndarray | None = None,
    label_values: dict[str, list[str]] | None = None,
    corpus_hash: str = "c",
    model_hash: str = "m",
) -> ActivationStore:
    """A store of one shard in which every document is a sequence."""
    path.mkdir(parents=True)
    n = len(document)
    nothing = np.zeros(n, np.int64)
    columns = {
        "token": nothing if token is None else token,
        "document": document,
        "sequence": document,
        "position": np.arange(n),
        "is_bos": nothing,
        "is_special": nothing if special is None else special,
    }
    typed = {name: column.astype(COLUMNS[name]) for name, column in columns.items()} | labels
    header = StoreHeader(
        sites={name: array.shape[1:] for name, array in sites.items()},
        dtype="float32",
        columns={name: str(array.dtype) for name, array in typed.items()},
        asked=n,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=int(document.max()) + 1,
        length=n,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={},
        provenance=Provenance.collect(
            "interp capture", model_hash=model_hash, corpus_hash=corpus_hash, seed=None, settings={}
        ),
        label_values=label_values or {},
    )
    header.write(path)
    writer = StoreWriter(path, header, queue_depth=1)
    writer.begin(0, max_rows=n)
    writer.append({name: array.astype(np.float32) for name, array in sites.items()}, typed)
    writer.commit(sequences=(0, int(document.max()) + 1), masked=0, padding=0)
    writer.close()
    ending = Ending(
        asked=n,
        stored=n,
        masked=0,
        missing=0,
        padding=0,
        sequences=int(document.max()) + 1,
        reason="",
    )
    write_manifest(path, read_manifest(path).shards, ending)
    return ActivationStore.open(path)
