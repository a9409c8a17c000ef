"""The pass over a text: every rank counts its batches, and all get the whole count."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float64, Int
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.distributed import Ranks
from interp.corpus.corpus import Corpus, TokenBatch
from interp.modules.native.blocks import NativeBlock
from interp.modules.native.capacity import CapacityRule, count_capacity
from interp.modules.native.experts import routing_of
from interp.modules.native.reading import BlockValues, read_blocks, recomputation_error
from interp.modules.native.router import Routing
from interp.modules.native.table import UNLABELLED
from interp.modules.native.tally import RoutingTally
from interp.results.errors import BadInput
from interp.results.progress import progress

Shared = TypeVar("Shared")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read, and how."""

    bridge: TransformerBridge
    blocks: tuple[NativeBlock, ...]
    corpus: Corpus
    label: str | None
    rule: CapacityRule | None
    batch_size: int
    max_tokens: int
    ranks: Ranks

    def batches(self) -> Iterator[TokenBatch]:
        """This rank's batches of the first `max_tokens` tokens, whole batches only."""
        n = 0
        for i, batch in enumerate(self.corpus.batches(self.batch_size)):
            if n >= self.max_tokens:
                return
            n += int(batch.attention_mask.sum())
            if i % self.ranks.world == self.ranks.rank:
                yield batch


def tally_routing(reading: Reading) -> tuple[RoutingTally, Float64[np.ndarray, " layers"]]:
    """The count of all ranks, and the recomputation error of every layer on the first batch."""
    blocks = reading.blocks
    tally = RoutingTally(len(blocks), blocks[0].n_experts)
    errors = np.zeros(len(blocks))
    with progress("routing", total=reading.max_tokens, unit="tokens") as advance:
        for i, batch in enumerate(reading.batches()):
            values = read_blocks(reading.bridge, blocks, batch)
            if i == 0 and reading.ranks.rank == 0:
                pairs = zip(blocks, values, strict=True)
                errors = np.array([recomputation_error(block, value) for block, value in pairs])
            _count(tally, reading, batch, values)
            advance(int(batch.attention_mask.sum()))
    for other, theirs in from_all(reading.ranks, (tally, errors)):
        if other is not tally:
            tally.merge(other)
        errors = np.maximum(errors, theirs)
    return tally, errors


@torch.no_grad()
def _count(
    tally: RoutingTally, reading: Reading, batch: TokenBatch, values: list[BlockValues]
) -> None:
    routings = [
        routing_of(block, value.x.flatten(0, 1))
        for block, value in zip(reading.blocks, values, strict=True)
    ]
    device = values[0].x.device
    columns = (batch.attention_mask & ~batch.special, batch.document, _functions(reading, batch))
    keep, document, function = (torch.from_numpy(c.reshape(-1)).to(device) for c in columns)
    tally.update(routings, keep, document, function)
    if reading.rule is not None:
        _count_groups(tally, reading.rule, batch, routings)


def _functions(reading: Reading, batch: TokenBatch) -> Int[np.ndarray, "batch pos"]:
    if reading.label is None:
        return np.full(batch.tokens.shape, UNLABELLED)
    values = batch.labels[reading.label]
    if not np.issubdtype(values.dtype, np.integer):
        raise BadInput(f"label {reading.label!r} holds fractions: functions are whole numbers")
    return np.where(values < 0, UNLABELLED, values)


def _count_groups(
    tally: RoutingTally, rule: CapacityRule, batch: TokenBatch, routings: list[Routing]
) -> None:
    """Whole groups first, then what is left of the last: it is a smaller group."""
    n, pos = batch.tokens.shape
    size = rule.group_sequences
    whole = n // size * size
    device = routings[0].chosen.device
    for start, stop, each in ((0, whole, size), (whole, n, n - whole)):
        if start == stop:
            continue
        valid = torch.from_numpy(batch.attention_mask[start:stop].reshape(-1, each * pos))
        group = torch.from_numpy(batch.sequence[start:stop:each] // size)
        parts = [Routing(*(t[start * pos : stop * pos] for t in routing)) for routing in routings]
        group, valid = group.to(device), valid.to(device)
        counts = [count_capacity(part, valid, group, rule) for part in parts]
        tally.update_capacity(group, counts)


def from_all(ranks: Ranks, own: Shared) -> list[Shared]:
    """What every rank holds, in order of rank; ours is the object itself."""
    if ranks.world == 1:
        return [own]
    held: list[Any] = [None] * ranks.world
    dist.all_gather_object(held, own)
    held[ranks.rank] = own
    return held
