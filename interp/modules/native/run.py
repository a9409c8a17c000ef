"""Run a mixture of experts over a text and report how its routers use its experts."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.distributed import current_ranks
from interp.corpus.corpus import Corpus
from interp.corpus.sources import Packing, open_corpus
from interp.models.context import length_within, refuse_beyond_context
from interp.models.identity import model_hash
from interp.models.load import load, reference_of
from interp.modules.native.blocks import NativeBlock, native_blocks
from interp.modules.native.capacity import CapacityRule, Rounding
from interp.modules.native.capacity_effect import capacity_effect
from interp.modules.native.cosines import weight_cosines
from interp.modules.native.counting import Reading, from_all, tally_routing
from interp.modules.native.functions import function_routing
from interp.modules.native.halves import halves, rows_of, sequences_of
from interp.modules.native.load import router_load
from interp.modules.native.overlap import ExpertOverlap, independence_p, independent_pairs
from interp.modules.native.restriction import (
    conditions_of,
    experts_to_close,
    measure_losses,
    restriction_effect,
)
from interp.modules.native.restriction_effect import Mode, RestrictionEffect
from interp.modules.native.router import Order
from interp.modules.native.routing import NativeRouting
from interp.modules.native.table import RoutingTable
from interp.results.errors import BadInput
from interp.results.provenance import Provenance

_FDR = 0.05
_DRAWS = 1000


def read_native(
    model: str | Path | TransformerBridge,
    data: Any,
    *,
    label: str | None = None,
    length: int | None = None,
    packing: Packing = "document",
    field: str = "text",
    max_tokens: int = 50_000,
    batch_size: int = 16,
    capacity_factor: float | None = None,
    rounding: Rounding = "ceil",
    order: Order = "position",
    devices: int = 1,
    group_sequences: int = 1,
    restrict: Mode | None = None,
    draws: int = 20,
    permutations: int = 1000,
    shuffles: int = 20,
    seed: int = 0,
    device: str = "auto",
    command: str = "read_native",
) -> NativeRouting:
    """Load, entropy, overlap, functions and capacity of every mixture-of-experts layer of `model`.

    `data` is what `open_corpus` takes, or a Corpus. Statistics are over text tokens, capacity over
    all tokens that are not padding, as the router meets them. Sequences have `length` tokens, 128
    or the model's context if not given. `label` names a column of functions,
    words or numbers; negative numbers are no function. Without `capacity_factor` a model with a
    capacity of its own (Switch) is held to that, counted as its own code does, and others to none.
    `restrict` measures what functions lose when their experts are closed, with `draws` random sets
    beside each; experts are chosen on half of the documents and closed on the others.
    Under `torchrun` the ranks share the batches, and all return the same.

    Raises Unsupported for a dense model or a mixture we do not read, BadInput for a label with one
    function only or experts that cannot be dealt to `devices`.
    """
    bridge = model if isinstance(model, TransformerBridge) else load(model, device=device)
    blocks = native_blocks(bridge)
    rule = _rule(blocks[0], capacity_factor, rounding, order, devices, group_sequences)
    if restrict is not None and label is None:
        raise BadInput("restricting routers by function needs a function label: name one")
    corpus = data if isinstance(data, Corpus) else _corpus(
        bridge, data, label, length=length_within(bridge, length), packing=packing, field=field
    )  # fmt: skip
    refuse_beyond_context(bridge, corpus.length)
    _check_label(corpus, label)
    reading = Reading(
        bridge=bridge,
        blocks=blocks,
        corpus=corpus,
        label=label,
        rule=rule,
        batch_size=group_sequences * max(1, batch_size // group_sequences),
        max_tokens=max_tokens,
        ranks=current_ranks(),
    )
    tally, errors = tally_routing(reading)
    table = tally.finish()
    functions = None
    if label is not None:
        rng = _rng(seed, 1)
        functions = function_routing(
            table,
            label=label,
            names=corpus.label_values.get(label),
            rng=rng,
            permutations=permutations,
        )
    return NativeRouting(
        style=blocks[0].style,
        sites=tuple(block.site for block in blocks),
        n_experts=blocks[0].n_experts,
        top_k=blocks[0].top_k,
        n_neurons=blocks[0].n_neurons,
        own_capacity=blocks[0].capacity,
        recomputation_error=errors,
        router_load=router_load(table, rng=_rng(seed, 0), draws=_DRAWS, permutations=permutations),
        overlap=_overlap(table, blocks, seed=seed, shuffles=shuffles),
        functions=functions,
        capacity=None if rule is None else capacity_effect(
            table, asdict(rule), n_experts=blocks[0].n_experts, rng=_rng(seed, 3)
        ),
        restriction=None if restrict is None else _restriction(
            reading, table, mode=restrict, draws=draws, permutations=permutations, seed=seed
        ),
        provenance=Provenance.collect(
            command,
            model_hash=_hash(bridge),
            corpus_hash=corpus.hash,
            seed=seed,
            settings={
                "label": label,
                "length": corpus.length,
                "packing": packing,
                "max_tokens": max_tokens,
                "batch_size": reading.batch_size,
                "capacity": None if rule is None else asdict(rule),
                "restrict": restrict,
                "draws": draws,
                "permutations": permutations,
                "shuffles": shuffles,
                "decoder_text": "the same text, shifted right",
            },
        ),
    )  # fmt: skip


def _rule(
    block: NativeBlock,
    factor: float | None,
    rounding: Rounding,
    order: Order,
    devices: int,
    group_sequences: int,
) -> CapacityRule | None:
    if factor is None and block.capacity is None:
        if devices != 1 or group_sequences != 1:
            raise BadInput(
                f"a {block.style} model has no capacity of its own: devices and groups mean "
                "something at a stated capacity factor only"
            )
        return None
    rule = CapacityRule(
        factor=factor,
        own=block.capacity,
        rounding=rounding,
        order=order,
        devices=devices,
        group_sequences=group_sequences,
    )
    rule.check(block.n_experts)
    return rule


def _corpus(
    bridge: TransformerBridge,
    data: Any,
    label: str | None,
    *,
    length: int,
    packing: Packing,
    field: str,
) -> Corpus:
    labels = () if label is None else (label,)
    tokenizer = reference_of(bridge) or bridge.tokenizer
    return open_corpus(data, tokenizer, length=length, packing=packing, field=field, labels=labels)


def _check_label(corpus: Corpus, label: str | None) -> None:
    if label is not None and label not in corpus.label_names:
        there = ", ".join(corpus.label_names) or "none"
        raise BadInput(f"{corpus.name} has no label {label!r}: its labels are {there}")


def _overlap(
    table: RoutingTable, blocks: tuple[NativeBlock, ...], *, seed: int, shuffles: int
) -> ExpertOverlap:
    k = blocks[0].top_k
    expected = [independent_pairs(np.diagonal(together), k) for together in table.together]
    rng = _rng(seed, 2)
    cosines = [weight_cosines(block, rng=rng, shuffles=shuffles) for block in blocks]
    return ExpertOverlap(
        together=table.together,
        expected=np.stack(expected),
        together_p=np.array(
            [independence_p(*pair) for pair in zip(table.together, expected, strict=True)]
        ),
        cosine=np.stack([c.cosine for c in cosines]),
        cosine_null_mean=np.stack([c.null_mean for c in cosines]),
        cosine_null_sd=np.stack([c.null_sd for c in cosines]),
        n_shuffles=shuffles,
    )


def _restriction(
    reading: Reading,
    table: RoutingTable,
    *,
    mode: Mode,
    draws: int,
    permutations: int,
    seed: int,
) -> RestrictionEffect:
    """Experts are chosen on half of the documents: on their own they would seem to matter more."""
    label = reading.label
    assert label is not None
    choosing, measured = halves(table, rng=_rng(seed, 6))
    found = function_routing(
        rows_of(table, choosing),
        label=label,
        names=reading.corpus.label_values.get(label),
        rng=_rng(seed, 7),
        permutations=permutations,
    )
    experts = experts_to_close(found, mode=mode, top_k=reading.blocks[0].top_k, fdr=_FDR)
    conditions = conditions_of(experts, mode=mode, draws=draws, rng=_rng(seed, 4))
    parts = (sequences_of(batch, measured) for batch in reading.batches())
    batches = (part for part in parts if len(part.sequence))
    own = measure_losses(reading.bridge, reading.blocks, conditions, batches, label=label)
    sums = [part for theirs in from_all(reading.ranks, own) for part in theirs]
    effect = restriction_effect(sums, found, experts, mode=mode, draws=draws, rng=_rng(seed, 5))
    return replace(effect, n_choosing=len(choosing), n_measured=len(measured))


def _rng(seed: int, part: int) -> np.random.Generator:
    """A generator for each part, so that leaving one out does not change the others."""
    return np.random.default_rng([seed, part])


def _hash(bridge: TransformerBridge) -> str | None:
    reference = reference_of(bridge)
    return None if reference is None or reference.path is None else model_hash(reference.path)
