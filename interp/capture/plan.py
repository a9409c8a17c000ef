"""What a capture will do, checked and counted before it starts."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.budget import MemoryPlan, PeakTensorBytes, store_bytes
from interp.capture.forward import SiteReader, refuse_hooked
from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.precision import ON_DISK, StoredDtype
from interp.capture.weights import weights_hash
from interp.corpus.corpus import Corpus, TokenBatch
from interp.models.context import refuse_beyond_context
from interp.models.fidelity import Fidelity, check_fidelity
from interp.models.identity import model_hash
from interp.models.load import reference_of, unedited
from interp.models.sites import resolve_sites
from interp.results.errors import BadInput, Mismatch, Unsupported
from interp.results.hashing import sha256_bytes
from interp.results.provenance import Provenance

SHARD_BYTES = 32 << 20
_PROBED_SEQUENCES = 2
_CHECKED_POSITIONS = (16, 128)
_CHECKED_LOGITS = 4 << 20
"""The fidelity check holds its logits a dozen times over: with a large vocabulary, fewer tokens."""
_ALLOWED_DIFFERENCE = 1e-2
"""Of the largest logit; rounding in float32 makes some 1e-6."""
_CPU_TOKENS_PER_FORWARD = 512
"""GPT-2 small runs a tenth faster with 512 than with 2048, in a quarter of the memory."""
_COUNTED_TOKENS = 1 << 21


@dataclass(frozen=True, kw_only=True)
class CapturePlan:
    """A capture that can start: everything about it is known but the activations."""

    header: StoreHeader
    vocabulary: bytes | None
    memory: MemoryPlan
    expected_rows: int
    expected_bytes: int
    """Of the whole store on disk."""


class _Sample(NamedTuple):
    tokens_per_sequence: float
    special_share: float
    ends: bool
    """Whether the sample is the whole corpus."""
    n_sequences: int


def plan_capture(
    model: TransformerBridge,
    corpus: Corpus,
    sites: Sequence[str],
    *,
    max_tokens: int,
    dtype: StoredDtype = "float32",
    batch_size: int = 16,
    drop_special: bool = False,
    shard_bytes: int = SHARD_BYTES,
    random_weights: int | None = None,
    command: str | None = None,
) -> CapturePlan:
    """Resolve the sites, compare the model with plain transformers, and count what it will take.

    Reads a few sequences and runs two of them; writes nothing. `random_weights` tells the store
    with which seed the model's weights were drawn again. Raises what `record` raises before it
    starts.
    """
    _check_numbers(max_tokens, dtype, batch_size, shard_bytes)
    refuse_hooked(model)
    refuse_beyond_context(model, corpus.length)
    resolved = resolve_sites(model, list(sites))
    _refuse_decoder(model, resolved.names)
    probe = next(corpus.batches(min(batch_size, _PROBED_SEQUENCES)))
    shapes, peak = _probe(model, resolved.names, probe)
    columns = {**COLUMNS, **_label_columns(probe)}
    vocabulary = _vocabulary(corpus)
    header = StoreHeader(
        sites=shapes,
        dtype=dtype,
        columns=columns,
        asked=max_tokens,
        batch_size=batch_size,
        sequences_per_forward=_sequences_per_forward(model, batch_size, corpus.length),
        sequences_per_shard=batch_size,
        length=corpus.length,
        drop_special=drop_special,
        absent_layers=resolved.absent_layers,
        vocabulary_sha256=sha256_bytes(vocabulary) if vocabulary else None,
        fidelity=_fidelity(model, probe),
        provenance=_provenance(model, corpus, random_weights, command),
        label_values={name: list(corpus.label_values[name]) for name in corpus.label_values},
    )
    header = _with_shards_of(header, shard_bytes)
    return _counted(header, corpus, vocabulary, peak // len(probe.sequence))


def _check_numbers(max_tokens: int, dtype: str, batch_size: int, shard_bytes: int) -> None:
    if dtype not in ON_DISK:
        raise BadInput(f"dtype {dtype!r}: give one of {', '.join(ON_DISK)}")
    for name, value in (
        ("max-tokens", max_tokens),
        ("batch-size", batch_size),
        ("shard-size", shard_bytes),
    ):
        if value < 1:
            raise BadInput(f"--{name} is {value}: it must be at least 1")


def _probe(
    model: TransformerBridge, sites: Sequence[str], batch: TokenBatch
) -> tuple[dict[str, tuple[int, ...]], int]:
    everything = np.ones_like(batch.attention_mask)
    with PeakTensorBytes() as tensors:
        rows = SiteReader(model, sites).read(batch.tokens, batch.attention_mask, everything)
    return {site: tuple(value.shape[1:]) for site, value in rows.items()}, tensors.peak


def _label_columns(batch: TokenBatch) -> dict[str, str]:
    taken = sorted(set(batch.labels) & set(COLUMNS))
    if taken:
        raise BadInput(f"a label is called {taken[0]!r}, as a column of every store: rename it")
    return {name: str(label.dtype) for name, label in batch.labels.items()}


def _sequences_per_forward(model: TransformerBridge, batch_size: int, length: int) -> int:
    """All of a batch on an accelerator; on a CPU so few that what a layer makes stays in cache."""
    device = next(model.original_model.parameters()).device
    if device.type != "cpu":
        return batch_size
    return min(batch_size, max(_CPU_TOKENS_PER_FORWARD // length, 1))


def _vocabulary(corpus: Corpus) -> bytes | None:
    strings = corpus.token_strings()
    if strings is None:
        return None
    # Escaped to ASCII: a token may be half of a character, which UTF-8 cannot hold.
    return json.dumps(strings, ensure_ascii=True).encode()


def _refuse_decoder(model: TransformerBridge, sites: Sequence[str]) -> None:
    config: Any = model.original_model.config
    if not config.is_encoder_decoder:
        return
    shifted = [site for site in sites if not site.startswith("encoder")]
    if shifted:
        raise Unsupported(
            f"{shifted[0]} is computed from the decoder's tokens, which are not those of the "
            "corpus but shifted by one: record sites of encoder_blocks"
        )


def _fidelity(model: TransformerBridge, batch: TokenBatch) -> dict[str, Any]:
    low, high = _CHECKED_POSITIONS
    n = min(max(_CHECKED_LOGITS // (model.cfg.d_vocab * len(batch.tokens)), low), high)
    tokens, mask = torch.from_numpy(batch.tokens), torch.from_numpy(batch.attention_mask)
    found = check_fidelity(model, tokens[:, :n], mask[:, :n])
    if not math.isfinite(found.max_abs_difference):
        raise BadInput(f"the model computes NaN or infinity in {found.dtype}: load it in float32")
    _refuse_unlike(found)
    return found.to_json()


def _refuse_unlike(found: Fidelity) -> None:
    """Mismatch if the bridge computes another model; 16-bit numbers round, and are only told."""
    worst, allowed = found.max_abs_difference, _ALLOWED_DIFFERENCE * found.largest_logit
    if found.dtype == "float32" and worst > allowed:
        raise Mismatch(
            f"the model differs from plain transformers by {worst:.2g} with a largest logit of "
            f"{found.largest_logit:.2g}: its activations would be another model's. Load it again, "
            "and if it stays so, this architecture is bridged wrongly by this version of "
            "TransformerLens"
        )


def _provenance(
    model: TransformerBridge, corpus: Corpus, random_weights: int | None, command: str | None
) -> Provenance:
    weights = weights_hash(model)
    reference = reference_of(model)
    directory = reference.path if reference is not None and unedited(model) else None
    parameter = next(model.original_model.parameters())
    drawn = {} if random_weights is None else {"random_weights": random_weights}
    return Provenance.collect(
        command or f"interp.record(..., {corpus.name!r}, ...)",
        model_hash=model_hash(directory) if directory is not None else weights,
        corpus_hash=corpus.hash,
        seed=None,
        settings={
            "weights_in_memory": weights,
            "model_dtype": str(parameter.dtype).removeprefix("torch."),
            "device": parameter.device.type,
            "bos": corpus.bos,
            "tokenizer_digest": corpus.tokenizer_digest,
            **drawn,
        },
    )


def _with_shards_of(header: StoreHeader, shard_bytes: int) -> StoreHeader:
    batch_bytes = header.row_bytes * header.length * header.batch_size
    batches = max(shard_bytes // batch_bytes, 1)
    return StoreHeader(**{**vars(header), "sequences_per_shard": batches * header.batch_size})


def _counted(
    header: StoreHeader, corpus: Corpus, vocabulary: bytes | None, forward_per_sequence: int
) -> CapturePlan:
    sample = _sample(corpus, header.asked)
    tokens = float(header.asked)
    n_sequences = sample.n_sequences if sample.ends else corpus.n_sequences
    if n_sequences is not None:
        tokens = min(tokens, n_sequences * sample.tokens_per_sequence)
    rows = round(tokens * (1 - sample.special_share * header.drop_special))
    width = sum(int(np.prod(shape, dtype=np.int64)) for shape in header.sites.values())
    shard_rows = min(header.sequences_per_shard * header.length, rows)
    return CapturePlan(
        header=header,
        vocabulary=vocabulary,
        memory=MemoryPlan(
            forward_per_sequence=forward_per_sequence,
            captured_per_sequence=width * 4 * header.length,
            shard=shard_rows * header.row_bytes,
        ),
        expected_rows=rows,
        expected_bytes=store_bytes(
            header,
            rows=rows,
            tokens=tokens,
            tokens_per_sequence=sample.tokens_per_sequence,
            vocabulary=len(vocabulary or b""),
        ),
    )


def _sample(corpus: Corpus, asked: int) -> _Sample:
    """Counted tokens: all of them where they are few, else the beginning."""
    enough = min(asked, _COUNTED_TOKENS)
    tokens = special = sequences = 0
    for batch in corpus.batches(64):
        tokens += int(batch.attention_mask.sum())
        special += int((batch.special & batch.attention_mask).sum())
        sequences += len(batch.sequence)
        if tokens >= enough:
            return _Sample(tokens / sequences, special / tokens, False, sequences)
    return _Sample(tokens / sequences, special / tokens, True, sequences)
