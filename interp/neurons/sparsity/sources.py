"""Rows of MLP neurons with the sequence each belongs to, from a store or from a running model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.finite import finite_rows
from interp.capture.forward import SiteReader, refuse_hooked
from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus, TokenBatch
from interp.models.context import refuse_beyond_context
from interp.models.sites import resolve_sites
from interp.results.errors import BadInput

NEURONS = "**.mlp.hook_post"
_BLOCK_BYTES = 1 << 26
_FORWARD_TOKENS = 512


class Rows(NamedTuple):
    """Some tokens: the activations at every site, and the sequence of each token."""

    sequence: Int64[np.ndarray, " rows"]
    at: dict[str, Float[Tensor, "rows neurons"]]


@runtime_checkable
class RowSource(Protocol):
    """Numbered batches of rows; which rows a batch holds depends on the source alone."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites in the order of the forward pass."""
        ...

    @property
    def max_tokens(self) -> int:
        """About how many rows are read: sequences are read whole."""
        ...

    @property
    def corpus_hash(self) -> str | None:
        """Of the tokens."""
        ...

    def count(self) -> int:
        """How many rows all batches hold; nothing is computed for it."""
        ...

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Rows]:
        """The batches whose number leaves `part` when divided by `parts`."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoreRows:
    """Rows of a store in order, special tokens left out."""

    store: ActivationStore
    sites: tuple[str, ...]
    max_tokens: int

    @classmethod
    def of(cls, store: ActivationStore, sites: Sequence[str], *, max_tokens: int) -> "StoreRows":
        """BadInput where the store has none of the sites, or holds no row."""
        if store.n_rows == 0:
            raise BadInput(f"{store.path} holds no row: capture some tokens first")
        found = tuple(sites) or tuple(s for s in store.sites if s.endswith("mlp.hook_post"))
        if not found:
            raise BadInput(
                f"{store.path} holds no mlp.hook_post: name the sites of neurons with --site, of "
                f"{', '.join(store.sites)}"
            )
        for site in found:
            store.shape(site)
        return cls(store=store, sites=found, max_tokens=max_tokens)

    @property
    def corpus_hash(self) -> str | None:
        """Of the tokens that were captured."""
        return self.store.provenance.corpus_hash

    def count(self) -> int:
        """Rows of text among the first `max_tokens`."""
        stop = min(self.store.n_rows, self.max_tokens)
        return int((~self.store.column("is_special", 0, stop)).sum())

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Rows]:
        """Blocks of some megabytes in turn; BadInput naming the row for NaN or infinity."""
        widths = sum(int(np.prod(self.store.shape(site))) for site in self.sites)
        step = max(_BLOCK_BYTES // (4 * widths), 1)
        stop = min(self.store.n_rows, self.max_tokens)
        for number, start in enumerate(range(0, stop, step)):
            if number % parts == part:
                yield self._read(start, min(start + step, stop))

    def _read(self, start: int, stop: int) -> Rows:
        kept = ~self.store.column("is_special", start, stop)
        at = {
            site: torch.from_numpy(finite_rows(self.store, site, start, stop, keep=kept))
            for site in self.sites
        }
        return Rows(self.store.column("sequence", start, stop)[kept], at)


@dataclass(frozen=True, kw_only=True)
class ModelRows:
    """Rows that a model computes over a corpus, special tokens and padding left out."""

    bridge: TransformerBridge
    corpus: Corpus
    sites: tuple[str, ...]
    max_tokens: int

    @classmethod
    def of(
        cls, bridge: TransformerBridge, corpus: Corpus, sites: Sequence[str], *, max_tokens: int
    ) -> "ModelRows":
        """`sites` may hold wildcards; without any the neurons of every MLP that reads the text.

        BadInput where the sequences are longer than the model's context.
        """
        refuse_hooked(bridge)
        refuse_beyond_context(bridge, corpus.length)
        config: Any = bridge.original_model.config
        resolved = resolve_sites(bridge, list(sites) or NEURONS)
        own = [
            name
            for name in resolved.names
            if sites or not (config.is_encoder_decoder and "decoder" in name)
        ]
        return cls(bridge=bridge, corpus=corpus, sites=tuple(own), max_tokens=max_tokens)

    @property
    def corpus_hash(self) -> str | None:
        """Of the tokens as fed."""
        return self.corpus.hash

    def count(self) -> int:
        """Tokens of text in the sequences that are read; the model does not run."""
        batches = token_batches(self.corpus, max_tokens=self.max_tokens)
        return sum(int((batch.attention_mask & ~batch.special).sum()) for batch in batches)

    def batches(self, part: int = 0, parts: int = 1) -> Iterator[Rows]:
        """Batches of whole sequences, until they hold `max_tokens` tokens."""
        reader = SiteReader(self.bridge, self.sites)
        for number, batch in enumerate(token_batches(self.corpus, max_tokens=self.max_tokens)):
            if number % parts == part:
                yield self._read(reader, batch)

    def _read(self, reader: SiteReader, batch: TokenBatch) -> Rows:
        keep = batch.attention_mask & ~batch.special
        found = reader.read(batch.tokens, batch.attention_mask, keep)
        at = {site: torch.from_numpy(rows.reshape(len(rows), -1)) for site, rows in found.items()}
        sequence = np.broadcast_to(batch.sequence[:, None], keep.shape)[keep]
        return Rows(sequence.astype(np.int64), at)


def token_batches(corpus: Corpus, *, max_tokens: int) -> Iterator[TokenBatch]:
    """Whole sequences in small batches, until they hold `max_tokens` tokens of text."""
    read = 0
    for batch in corpus.batches(max(_FORWARD_TOKENS // corpus.length, 1)):
        yield batch
        read += int((batch.attention_mask & ~batch.special).sum())
        if read >= max_tokens:
            return


def sample_rows(source: RowSource, *, n_rows: int) -> dict[str, Float[Tensor, "rows neurons"]]:
    """About `n_rows` rows of every site, evenly spaced over all of the source's batches.

    The same whatever the number of processes. Raises BadInput if there is no row.
    """
    total = source.count()
    if total == 0:
        raise BadInput("there is no token of text: special tokens and padding do not count")
    step = max(total // n_rows, 1)
    kept: dict[str, list[Tensor]] = {site: [] for site in source.sites}
    seen = 0
    for rows in source.batches():
        first = -seen % step
        for site, values in rows.at.items():
            kept[site].append(values[first::step].clone())
        seen += len(rows.sequence)
    return {site: torch.cat(parts)[:n_rows] for site, parts in kept.items()}
