"""Regroup: a checkpoint whose neurons lie expert by expert, and computes what it did before."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int64

from interp.models.mlp_tensors import mlp_tensors
from interp.models.weight_files import BYTES_OF, TensorSpan, locate_tensors
from interp.modules.partition import Partition
from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput, Mismatch


def regroup(source: Path, partitions: Sequence[Partition], out: Path) -> Path:
    """Write the model at `source` to `out` with the neurons of each partition expert by expert.

    Neuron i of a grouped layer is neuron partition.permutation()[i] of the source. Only the order
    of rows and columns changes: `ungroup` gives back the same bytes. Raises BadInput for a site
    given twice, Mismatch for a layer of another width.
    """
    return _permuted(source, out, {p.site: p.permutation() for p in _once(partitions)})


def ungroup(source: Path, partitions: Sequence[Partition], out: Path) -> Path:
    """The inverse of `regroup`, byte for byte."""
    orders = {p.site: np.argsort(p.permutation()) for p in _once(partitions)}
    return _permuted(source, out, orders)


def _once(partitions: Sequence[Partition]) -> Sequence[Partition]:
    sites = [partition.site for partition in partitions]
    twice = next((site for site in sites if sites.count(site) > 1), None)
    if twice is not None:
        raise BadInput(f"two partitions of {twice}: give one a layer")
    return partitions


def _permuted(source: Path, out: Path, orders: dict[str, Int64[np.ndarray, " neurons"]]) -> Path:
    spans = locate_tensors(Path(source))
    moves = {
        name: (axis, order)
        for site, order in orders.items()
        for name, axis in mlp_tensors(spans, site).axes.items()
    }
    for name, (axis, order) in moves.items():
        if spans[name].shape[axis] != len(order):
            raise Mismatch(
                f"{name} of {source} has {spans[name].shape[axis]} neurons and the partition "
                f"{len(order)}: it is of another model"
            )
    with atomic_directory(Path(out)) as directory:
        for file in sorted(Path(source).iterdir()):
            if file.is_file():
                shutil.copyfile(file, directory / file.name)
        for name, (axis, order) in moves.items():
            _permute(spans[name], directory / spans[name].file.name, axis, order)
    return Path(out)


def _permute(span: TensorSpan, file: Path, axis: int, order: Int[np.ndarray, " neurons"]) -> None:
    width = BYTES_OF[span.dtype]
    with file.open("r+b") as handle:
        handle.seek(span.start)
        words = np.frombuffer(handle.read(span.n_bytes), dtype=f"V{width}").reshape(span.shape)
        handle.seek(span.start)
        handle.write(np.ascontiguousarray(np.take(words, order, axis=axis)).tobytes())
