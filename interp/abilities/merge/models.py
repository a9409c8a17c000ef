"""Merge whole models: directories in, a whole Hugging Face directory out."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interp.abilities.merge.identities import Identities
from interp.abilities.merge.merged import MergedModel
from interp.abilities.merge.recipe import MergeRecipe
from interp.models.hub import directory_of
from interp.results.atomic import check_out
from interp.results.errors import BadInput


def merge_models(
    recipe: MergeRecipe,
    base: str | Path,
    models: Sequence[str | Path],
    out: str | Path,
    *,
    dtype: str | None = None,
    cast: bool = False,
    skip_embeddings: bool = False,
    overwrite: bool = False,
    hash_cache: Path | None = None,
    chunk: int | None = None,
    threads: int | None = None,
    sync_every: int | None = None,
) -> MergedModel:
    """Merge models by a recipe and write what results to `out`, in the base's shards and format.

    Models are streamed, never loaded; killed and called again with the same settings, it goes on.
    `dtype` writes another number format. `cast` allows models in different formats,
    `skip_embeddings` leaves the tables of tokens as they are in the base. Raises Mismatch where
    tensors, shapes, vocabularies or tied tensors do not fit or a result overflows, CorruptFile on
    NaN, infinity or a truncated shard, BadInput if `out` exists and not `overwrite`, Incomplete
    when the disk is full.
    """
    check_out(Path(out), replace=overwrite)
    if len(models) != len(recipe.weights):
        raise BadInput(f"the recipe is of {len(recipe.weights)} models, {len(models)} were given")
    directories = [directory_of(one) for one in (base, *models)]
    # Hashing the inputs takes a core as long as merging them does; it begins before torch, whose
    # import would leave a core idle.
    with Identities(directories, cache=hash_cache) as identities, ExitStack() as files:
        with _no_collection():
            from interp.abilities.merge.written import written_model
            from interp.abilities.streaming.checkpoint import Checkpoint

        opened = [files.enter_context(Checkpoint(one)) for one in directories]
        return written_model(
            recipe,
            opened,
            Path(out),
            identities,
            dtype=dtype,
            cast=cast,
            skip=skip_embeddings,
            replace=overwrite,
            chunk=chunk,
            threads=threads,
            sync_every=sync_every,
        )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Imports only add: looking for garbage meanwhile is a quarter of torch's import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
