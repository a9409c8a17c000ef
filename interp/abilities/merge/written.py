"""Writing a merge: checks, then the whole output directory, with where it came from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interp.abilities.merge.identities import Identities
from interp.abilities.merge.merged import MergedModel
from interp.abilities.merge.methods import METHODS
from interp.abilities.merge.recipe import MergeRecipe
from interp.abilities.merge.sources import MergeSources
from interp.abilities.merge.stream import MergeStream
from interp.abilities.moving.compatibility import (
    check_same_tensors,
    check_tied,
    check_vocabulary,
    is_float,
    vocabulary_tensors,
)
from interp.abilities.moving.lineage import Lineage, known_ancestors
from interp.abilities.moving.model_files import ModelFiles
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import THREADS
from interp.abilities.streaming.writer import SYNC_EVERY, StagedDirectory
from interp.models.identity import root_of, tensor_prefix
from interp.models.tokenizer import tokenizer_digest
from interp.models.weight_files import float_format
from interp.results.hashing import sha256_json
from interp.results.provenance import Provenance

_CHUNK = 1 << 19
"""Entries of a chunk: half as many calls as elsewhere, and what a rule holds is still in cache."""


def written_model(
    recipe: MergeRecipe,
    opened: Sequence[Checkpoint],
    out: Path,
    identities: Identities,
    *,
    dtype: str | None,
    cast: bool,
    skip: bool,
    replace: bool,
    chunk: int | None,
    threads: int | None,
    sync_every: int | None,
) -> MergedModel:
    """Merge open checkpoints, the base first, into `out`; see `merge_models`."""
    written = None if dtype is None else float_format(dtype)
    base, *models = opened
    stream = MergeStream(
        sources=MergeSources(base=base, models=models, numerics=recipe.numerics),
        method=METHODS[recipe.method],
        recipe=recipe,
        files=ModelFiles(base, dtype=written),
        left_out=_left_out(base, models, skip=skip, cast=cast),
        chunk=chunk or _CHUNK,
        threads=threads or THREADS,
    )
    staged = StagedDirectory(
        out,
        job=_job(stream, opened),
        sizes=stream.files.sizes,
        replace=replace,
        sync_every=sync_every or SYNC_EVERY,
    )
    with staged:
        stream.files.write_heads(staged)
        root, changed = _write_tensors(stream, staged)
        stream.files.write_companions(staged.path)
        lineage = _lineage(stream, root, identities)
        lineage.save(staged.path)
        staged.publish()
    return MergedModel(
        path=out,
        root=root,
        n=sum(span.n_entries for span in base.spans.values()),
        changed=changed,
        recipe=recipe,
        provenance=lineage.provenance,
    )


def _left_out(
    base: Checkpoint, models: Sequence[Checkpoint], *, skip: bool, cast: bool
) -> frozenset[str]:
    """Check that everything fits together; the vocabulary's tensors if they are to be skipped."""
    for model in models:
        check_same_tensors(base, model, cast=cast)
    for model in (base, *models):
        for span in model.spans.values():
            is_float(span)
    if skip:
        return frozenset(vocabulary_tensors(base.spans))
    for model in models:
        digest = tokenizer_digest(model.directory)
        check_vocabulary(base, digest, base.spans, where=str(model.directory))
    check_tied(base, models, ())
    return frozenset()


def _job(stream: MergeStream, opened: Sequence[Checkpoint]) -> str:
    """What a stopped run must have in common with this one to be gone on with.

    Inputs by size and time of change: their hashes are not known yet.
    """
    return sha256_json({
        "merge": stream.recipe.to_json(),
        "dtype": stream.files.dtype,
        "left_out": sorted(stream.left_out),
        "chunk": stream.chunk,
        "inputs": [
            [(str(file.resolve()), (status := file.stat()).st_size, status.st_mtime_ns)
             for file in sorted({span.file for span in model.spans.values()})]
            for model in opened
        ],
    })  # fmt: skip


def _write_tensors(stream: MergeStream, staged: StagedDirectory) -> tuple[str, int]:
    """Write every tensor; the root hash of what was written, and how many entries changed."""
    changed = 0
    digests = {
        name: hashlib.sha256(tensor_prefix(name, stream.out_dtype(name), span.shape))
        for name, span in stream.sources.base.spans.items()
    }
    for written in stream.write(staged):
        digests[written.chunk.name].update(written.content)
        changed += written.changed
    return root_of({name: digest.hexdigest() for name, digest in digests.items()}), changed


def _lineage(stream: MergeStream, root: str, identities: Identities) -> Lineage:
    base, *models = identities.wait()
    recipe: dict[str, Any] = {
        "made_by": "merge",
        **stream.recipe.to_json(),
        "base": base.root,
        "models": [model.root for model in models],
        "dtype": stream.files.dtype,
        "left_out": sorted(stream.left_out),
    }
    return Lineage(
        root=root,
        ancestors=(base.root, *known_ancestors(stream.sources.base.directory, base.root)),
        recipe=recipe,
        provenance=Provenance.collect(
            "interp ability merge",
            model_hash=sha256_json([base.root, base.config_digest]),
            corpus_hash=None,
            seed=stream.recipe.seed,
            settings=recipe,
        ),
    )
