"""Stores written by hand: documents of tokens, labels on them, and units that know the labels."""

from pathlib import Path

import numpy as np

from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import Ending, read_manifest, write_manifest
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.results.provenance import Provenance

SITE = "blocks.0.mlp.hook_post"
LENGTH = 5
"""Tokens of a document; the first is BOS."""


def write_store(
    path: Path,
    sites: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    *,
    label_values: dict[str, list[str]] | None = None,
    corpus_hash: str = "cd" * 32,
    model_hash: str = "ab" * 32,
    settings: dict[str, object] | None = None,
) -> ActivationStore:
    """A store of two shards; every document is one sequence of `LENGTH` tokens, BOS first."""
    path.mkdir(parents=True)
    n = len(next(iter(sites.values())))
    rows = np.arange(n)
    columns = {
        "token": rows % 7,
        "document": rows // LENGTH,
        "sequence": rows // LENGTH,
        "position": rows % LENGTH,
        "is_bos": rows % LENGTH == 0,
        "is_special": rows % LENGTH == 0,
    }
    typed = {name: column.astype(COLUMNS[name]) for name, column in columns.items()} | labels
    header = StoreHeader(
        sites={name: array.shape[1:] for name, array in sites.items()},
        dtype="float32",
        columns={name: str(array.dtype) for name, array in typed.items()},
        asked=n,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=n // LENGTH // 2,
        length=LENGTH,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={},
        provenance=Provenance.collect(
            "interp capture",
            model_hash=model_hash,
            corpus_hash=corpus_hash,
            seed=None,
            settings=settings or {},
        ),
        label_values=label_values or {},
    )
    header.write(path)
    writer = StoreWriter(path, header, queue_depth=1)
    half = n // LENGTH // 2 * LENGTH
    for index, (start, stop) in enumerate(((0, half), (half, n))):
        writer.begin(index, max_rows=n)
        writer.append(
            {name: array[start:stop].astype(np.float32) for name, array in sites.items()},
            {name: array[start:stop] for name, array in typed.items()},
        )
        writer.commit(sequences=(start // LENGTH, stop // LENGTH), masked=0, padding=0)
    writer.close()
    ending = Ending(
        asked=n, stored=n, masked=0, missing=0, padding=0, sequences=n // LENGTH, reason=""
    )
    write_manifest(path, read_manifest(path).shards, ending)
    return ActivationStore.open(path)


N_DOCUMENTS, N_UNITS = 120, 150
DETECTOR, ANTI, DEAD = 17, 100, 3


def planted_store(path: Path, *, n_documents: int = N_DOCUMENTS, **more: object) -> ActivationStore:
    """Unit 17 fires in one token of documents labelled 1, unit 100 in those labelled 0, 3 never.

    Labels: `answer` (0 or 1, by document), `language` (three, by document), `kind` (by token).
    """
    rng = np.random.default_rng(0)
    n = n_documents * LENGTH
    answer = np.repeat(np.arange(n_documents) % 2, LENGTH)
    language = np.repeat(np.arange(n_documents) % 3, LENGTH)
    kind = rng.integers(0, 3, n)
    values = np.maximum(rng.standard_normal((n, N_UNITS)), 0).astype(np.float32)
    middle = np.arange(n) % LENGTH == 2
    values[:, DETECTOR] = np.where(middle & (answer == 1), 9.0, values[:, DETECTOR] / 2)
    values[:, ANTI] = np.where(middle & (answer == 0), 9.0, values[:, ANTI] / 2)
    values[:, DEAD] = 0.0
    # BOS fires everything, as it does in real models.
    values[np.arange(n) % LENGTH == 0] = 50.0
    values[:, DEAD] = 0.0
    labels = {"answer": answer, "language": language, "kind": kind}
    named = {"language": ["de", "en", "zh"]}
    return write_store(
        path,
        {SITE: values, "blocks.1.mlp.hook_post": values[:, ::-1]},
        {name: label.astype(np.int64) for name, label in labels.items()},
        label_values=named,
        **more,  # pyright: ignore[reportArgumentType]
    )
