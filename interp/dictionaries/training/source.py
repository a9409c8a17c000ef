"""Where the rows of a training come from, and what identifies them."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from interp.capture.loader import ShuffledBuffers
from interp.capture.store import ActivationStore
from interp.dictionaries.training.facts import SourceFacts


@runtime_checkable
class RowSource(Protocol):
    """Rows of some sites by numbered buffers, in an order that the seed decides."""

    facts: SourceFacts
    widths: dict[str, int]

    def buffer(
        self, epoch: int, number: int, *, sites: Sequence[str] | None = None
    ) -> dict[str, Float[np.ndarray, "rows _d"]] | None:
        """A buffer of every site, or of these, in one order; None where the epoch has ended."""
        ...


class StoreSource:
    """The rows of a store, read by a store object of its own so that a thread may do it."""

    def __init__(
        self, store: ActivationStore, sites: Sequence[str], *, seed: int, buffer_bytes: int
    ) -> None:
        self.facts = store_facts(store)
        own = ActivationStore.open(store.path)
        self._buffers = ShuffledBuffers(own, sites, seed=seed, buffer_bytes=buffer_bytes)
        self.widths = self._buffers.widths

    def buffer(
        self, epoch: int, number: int, *, sites: Sequence[str] | None = None
    ) -> dict[str, Float[np.ndarray, "rows _d"]] | None:
        """A buffer of every site, or of these, in one order; None where the epoch has ended."""
        if number >= len(self._buffers):
            return None
        return self._buffers.read(epoch, number, sites=sites)


def store_facts(store: ActivationStore) -> SourceFacts:
    """What identifies a store: the identity of its header, and what its provenance names."""
    provenance = store.provenance
    model = provenance.settings.get("model")
    return SourceFacts(
        name=store.path.name,
        identity=f"{store.header.identity}/{store.n_rows}",
        model=model if isinstance(model, str) else None,
        model_hash=provenance.model_hash,
        corpus_hash=provenance.corpus_hash,
        n_rows=store.n_rows,
    )
