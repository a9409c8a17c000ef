"""Measure routing: what every router captures and costs, on a partition and on random ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.weights import in_memory_hash
from interp.models.architectures import ARCHITECTURES
from interp.models.context import refuse_long_items
from interp.modules.partition import Partition
from interp.modules.perturbation.items import FunctionItem, function_items_hash
from interp.modules.perturbation.measuring import item_batches
from interp.modules.routing.comparing import (
    captured_shares,
    changes_of_scores,
    silent_share,
    split_scores,
)
from interp.modules.routing.fitting import variants_of
from interp.modules.routing.reading import LayerRows, mixed, read_rows
from interp.modules.routing.report import RoutingReport
from interp.modules.routing.routers import routers
from interp.modules.routing.scores import Measure
from interp.modules.routing.settings import RoutingSettings, contestants_of
from interp.results.errors import BadInput, Mismatch, Unsupported
from interp.results.provenance import Provenance

_FIT_ROWS = 20_000
_MANY_KS = 32


def measure_routing(
    bridge: TransformerBridge,
    partitions: Sequence[Partition],
    items: Sequence[FunctionItem],
    *,
    settings: RoutingSettings | None = None,
    force: bool = False,
    command: str = "measure_routing",
) -> RoutingReport:
    """Every router on the given experts and on random ones: captured share, loss and accuracy.

    Routers learn from items of the `validation` split and all numbers are of the `test` split, at
    the tokens from which an answer (or, in plain text, the next token) is predicted. The loss is
    that of a model in which all the partitions' layers are MoEfied at once.

    Raises Unsupported for a model that does not predict the next token, Mismatch for a partition
    of another model (unless `force`) or partitions that differ in their number of experts, and
    BadInput for a router or k that does not exist or a split without items.
    """
    own = settings or RoutingSettings()
    digest = _admit(bridge, partitions, own, force=force)
    refuse_long_items(bridge, {item.id: len(item.tokens) for item in items})
    learn, test = (
        item_batches([i for i in items if i.split == split], batch_size=own.batch_size)
        for split in ("validation", "test")
    )
    if not learn or not test:
        raise BadInput("routers need items of both splits: validation to learn, test to measure")
    sites = [partition.site for partition in partitions]
    fit = read_rows(bridge, mixed(learn, seed=own.seed), sites, max_rows=_FIT_ROWS)
    seen = read_rows(bridge, test, sites, max_rows=2**62)
    measures: dict[str, Measure] = {site: _measure(own.measure, fit.at[site]) for site in sites}
    fill = {site: fit.at[site].h.mean(0) if own.fill == "mean" else None for site in sites}
    variants = variants_of(bridge, partitions, fit, measures, own)
    test_items = [item for item in items if item.split == "test"]
    effect_ks = _effect_ks(own, partitions[0].n_experts)
    dense = split_scores(bridge, test, test_items, [])
    ks = _ks(partitions[0].n_experts)
    mass = captured_shares(variants, seen, sites, ks, own, n_items=len(test_items))
    changes = changes_of_scores(bridge, variants, (test, test_items), dense, effect_ks, own, fill)
    return RoutingReport(
        sites=tuple(sites),
        kinds=tuple(partition.kind for partition in partitions),
        measures=tuple(measures[site] for site in sites),
        n_experts=partitions[0].n_experts,
        contestants=contestants_of(own),
        ks=ks,
        mass=mass,
        effect_ks=np.array(effect_ks, dtype=np.int64),
        loss_change=changes[0],
        accuracy_change=changes[1],
        dense=np.array([dense.loss.mean(), dense.accuracy.mean()]),
        silent=np.array([silent_share(variants[0], seen, site) for site in sites]),
        n_items=len(test_items),
        n_tokens=len(seen.item),
        n_fit_tokens=len(fit.item),
        n_random=own.n_random,
        provenance=_provenance(command, digest, items, own, partitions),
    )


def _admit(
    bridge: TransformerBridge,
    partitions: Sequence[Partition],
    own: RoutingSettings,
    *,
    force: bool,
) -> str:
    if not partitions:
        raise BadInput("no partition was given: make one with `interp modules partition`")
    architecture = type(bridge.original_model).__name__
    if ARCHITECTURES.get(architecture) != "decoder":
        raise Unsupported(f"{architecture} does not predict the next token: give a decoder")
    if unknown := sorted(set(own.routers) - set(routers())):
        raise BadInput(f"router {unknown[0]!r}: one of {', '.join(sorted(routers()))}")
    counts = {partition.n_experts for partition in partitions}
    if len(counts) > 1:
        raise Mismatch(
            f"partitions with {', '.join(map(str, sorted(counts)))} experts: k means the same in "
            "all layers only where they have as many"
        )
    if len({partition.site for partition in partitions}) < len(partitions):
        raise BadInput("two partitions of one site: give one a layer")
    digest = in_memory_hash(bridge)
    for partition in partitions:
        if partition.model_hash not in (None, digest) and not force:
            raise Mismatch(
                f"the partition of {partition.site} is of model {partition.model_hash[:12]} and "
                f"this one is {digest[:12]}: partition this model, or --force"
            )
    return digest


def _measure(wanted: str, rows: LayerRows) -> Measure:
    if wanted == "auto":
        return "norm" if bool((rows.h < 0).any()) else "mass"
    if wanted not in ("mass", "norm"):
        raise BadInput(f"measure {wanted!r}: auto, mass or norm")
    return wanted  # pyright: ignore[reportReturnType]


def _ks(n_experts: int) -> Int64[np.ndarray, " ks"]:
    """Every k of few experts; of many some, among them a fifth, which is what is published."""
    if n_experts <= _MANY_KS:
        return np.arange(1, n_experts + 1, dtype=np.int64)
    spread = np.geomspace(1, n_experts, _MANY_KS).round().astype(np.int64)
    return np.unique([*spread, n_experts // 5])


def _effect_ks(own: RoutingSettings, n_experts: int) -> tuple[int, ...]:
    ks = own.effect_ks or [max(int(share * n_experts), 1) for share in (0.1, 0.2, 0.4)]
    if wrong := [k for k in ks if not 1 <= k <= n_experts]:
        raise BadInput(f"k = {wrong[0]}: choose 1 to {n_experts} experts")
    return tuple(sorted(set(ks)))


def _provenance(
    command: str,
    digest: str,
    items: Sequence[FunctionItem],
    own: RoutingSettings,
    partitions: Sequence[Partition],
) -> Provenance:
    settings = {**vars(own), "routers": list(own.routers), "effect_ks": list(own.effect_ks)}
    made = [partition.provenance.to_json() for partition in partitions]
    return Provenance.collect(
        command,
        model_hash=digest,
        corpus_hash=function_items_hash(items),
        seed=own.seed,
        settings={**settings, "partitions": made},
    )
