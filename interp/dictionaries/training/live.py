"""Rows computed from a model as training needs them, where no store is wanted."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.finite import refuse_not_finite
from interp.capture.forward import SiteReader
from interp.capture.loader import BUFFER_BYTES
from interp.capture.plan import CapturePlan, plan_capture
from interp.corpus.corpus import Corpus, TokenBatch
from interp.dictionaries.training.facts import SourceFacts
from interp.models.load import reference_of

_TOKENS_AT_ONCE = 4096
"""Of one forward pass on an accelerator; a capture's plan takes fewer on a CPU."""


def live_source(
    model: TransformerBridge,
    corpus: Corpus,
    sites: Sequence[str],
    *,
    n_tokens: int,
    seed: int = 0,
    buffer_bytes: int = BUFFER_BYTES,
) -> "LiveSource":
    """The rows of `sites` (wildcards allowed) of `model` over `corpus`, made as they are taken.

    Raises what a capture of them raises before it starts.
    """
    batch_size = max(_TOKENS_AT_ONCE // corpus.length, 1)
    plan = plan_capture(model, corpus, sites, max_tokens=n_tokens, batch_size=batch_size)
    return LiveSource(plan, model, corpus, seed=seed, buffer_bytes=buffer_bytes)


class LiveSource:
    """Rows of a planned capture by buffers of consecutive sequences, each buffer shuffled.

    Open the corpus with a seed, so that a buffer mixes documents from everywhere. Buffers are
    cheap in order; going back or ahead reads the text again up to there, without the model.
    """

    def __init__(
        self,
        plan: CapturePlan,
        model: TransformerBridge,
        corpus: Corpus,
        *,
        seed: int,
        buffer_bytes: int,
    ) -> None:
        header = plan.header
        self.widths = {
            site: int(np.prod(shape, dtype=np.int64)) for site, shape in header.sites.items()
        }
        reference = reference_of(model)
        self.facts = SourceFacts(
            name=f"{getattr(reference, 'name', 'a model')} over {corpus.name}",
            identity=header.identity,
            model=getattr(reference, "name", None),
            model_hash=header.provenance.model_hash,
            corpus_hash=corpus.hash,
            n_rows=None,
        )
        sequence_bytes = max(sum(self.widths.values()), 1) * 4 * corpus.length
        self._per_forward = header.sequences_per_forward
        # Whole forward passes: a row's last bits depend on which sequences were computed together.
        passes = max(buffer_bytes // (sequence_bytes * self._per_forward), 1)
        self._sequences = passes * self._per_forward
        self._drop_special = header.drop_special
        self._reader = SiteReader(model, list(header.sites))
        self._corpus = corpus
        self._seed = seed
        self._open: tuple[int, int, Iterator[TokenBatch]] | None = None

    def buffer(
        self, epoch: int, number: int, *, sites: Sequence[str] | None = None
    ) -> dict[str, Float[np.ndarray, "rows _d"]] | None:
        """A buffer of every site, or of these, in one order; None where the text has ended."""
        parts = self._compute(self._batches(epoch, number))
        if not parts:
            return None
        rows = {site: np.concatenate([part[site] for part in parts]) for site in self.widths}
        n_rows = len(next(iter(rows.values())))
        order = np.random.default_rng([self._seed, epoch, number + 1]).permutation(n_rows)
        return {site: rows[site][order] for site in (sites or rows)}

    def _batches(self, epoch: int, number: int) -> Iterator[TokenBatch]:
        """The open reading if it stands where this buffer begins, else one that starts there."""
        batches = self._open[2] if self._open and self._open[:2] == (epoch, number) else None
        if batches is None:
            batches = self._corpus.batches(self._per_forward, start=number * self._sequences)
        self._open = (epoch, number + 1, batches)
        return batches

    def _compute(self, batches: Iterator[TokenBatch]) -> list[dict[str, np.ndarray]]:
        parts: list[dict[str, np.ndarray]] = []
        sequences = 0
        while sequences < self._sequences and (batch := next(batches, None)) is not None:
            keep = batch.attention_mask
            if self._drop_special:
                keep = keep & ~batch.special
            rows = self._reader.read(batch.tokens, batch.attention_mask, keep)
            parts.append({site: value.reshape(len(value), -1) for site, value in rows.items()})
            for site, value in parts[-1].items():
                refuse_not_finite(value, site, 0, f"sequence {batch.sequence[0]} and on")
            sequences += len(batch.sequence)
        return parts
