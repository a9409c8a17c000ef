"""Stores whose rows are sparse sums of planted features, written without a model."""

from pathlib import Path

import numpy as np

from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.results.provenance import Provenance

READ, WRITTEN = "blocks.0.mlp.hook_in", "blocks.0.hook_mlp_out"
SITES = {READ: (12,), WRITTEN: (2, 4)}
N_FEATURES = 20
SHARD = 1500


def planted_rows(n_rows: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Two of twenty features on in each row; both sites are linear in the same features."""
    fixed = np.random.default_rng(123)
    rng = np.random.default_rng(seed)
    active = np.argsort(rng.random((n_rows, N_FEATURES)), axis=1)[:, :2]
    z = np.zeros((n_rows, N_FEATURES), np.float32)
    np.put_along_axis(z, active, rng.uniform(1, 2, (n_rows, 2)).astype("f4"), axis=1)
    sites = {}
    for site, shape in SITES.items():
        directions = fixed.normal(size=(N_FEATURES, int(np.prod(shape))))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        sites[site] = (z @ directions + 0.5).astype("f4").reshape(n_rows, *shape)
    return sites


def planted_store(
    directory: Path, *, n_rows: int = 3000, seed: int = 0, spoilt: tuple[int, float] | None = None
) -> ActivationStore:
    """A store of these rows; `spoilt` puts a value into one row of the second site."""
    sites = planted_rows(n_rows, seed=seed)
    if spoilt is not None:
        sites[WRITTEN][spoilt[0], 0, 0] = spoilt[1]
    directory.mkdir(parents=True)
    header = _header(n_rows, seed)
    header.write(directory)
    writer = StoreWriter(directory, header, queue_depth=2)
    row = np.arange(n_rows)
    columns = {name: np.zeros(n_rows, dtype) for name, dtype in COLUMNS.items()}
    columns |= {"sequence": row // 10, "position": (row % 10).astype("i4"), "document": row // 100}
    for shard, start in enumerate(range(0, n_rows, SHARD)):
        part = slice(start, start + SHARD)
        writer.begin(shard, max_rows=SHARD)
        writer.append(
            {name: values[part] for name, values in sites.items()},
            {name: values[part] for name, values in columns.items()},
        )
        stop = min(start + SHARD, n_rows)
        writer.commit(sequences=(start // 10, stop // 10), masked=0, padding=0)
    writer.close()
    return ActivationStore.open(directory)


def _header(n_rows: int, seed: int) -> StoreHeader:
    return StoreHeader(
        sites=SITES,
        dtype="float32",
        columns=COLUMNS,
        asked=n_rows,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=SHARD // 10,
        length=10,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={"against": "eager", "max_abs_difference": 0.0, "largest_logit": 1.0},
        provenance=Provenance(
            command="interp capture --length 10 planted text.txt",
            model_hash="model",
            corpus_hash="corpus",
            seed=seed,
            versions={},
            settings={"model": "tiny"},
        ),
    )
