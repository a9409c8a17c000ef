"""Activations of a model over a corpus, recorded to disk and read back.

`record` runs the model with hooks on the sites asked for and writes an `ActivationStore`: a
directory of immutable HDF5 shards with a row for every token. A run that was killed goes on with
the same call, and the finished bytes are those of an uninterrupted one. A store is read through
NumPy; `shuffled_batches` makes torch batches of it for training.

    store = record(model, corpus, ["blocks.*.hook_resid_post"], "store", max_tokens=50_000)
    store.rows("blocks.0.hook_resid_post", 0, 128)
    store.column("token", 0, 128)
    store.verify()
"""

from typing import TYPE_CHECKING, Any

from interp.capture.store import ActivationStore

if TYPE_CHECKING:
    from interp.capture.loader import shuffled_batches
    from interp.capture.run import record

__all__ = ["ActivationStore", "record", "shuffled_batches"]


def __getattr__(name: str) -> Any:
    # Lazy: reading a store must not load torch.
    if name == "record":
        from interp.capture.run import record

        return record
    if name == "shuffled_batches":
        from interp.capture.loader import shuffled_batches

        return shuffled_batches
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
