"""One checkpoint: captured over the probe text, scored, clustered, its co-activation counted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.run import record
from interp.capture.store import ActivationStore
from interp.corpus.corpus import Corpus
from interp.models.mlp_weights import mlp_weights
from interp.modules.emergence.checkpoint import CheckpointRecord, LayerRecord
from interp.modules.partitioning.balanced import balanced_kmeans
from interp.modules.partitioning.weights import input_rows
from interp.neurons.coactivation import Coactivation
from interp.neurons.coactivation_counts import CoactivationCounts
from interp.neurons.score import score_neurons
from interp.neurons.scores import Pooling
from interp.neurons.sparsity.model import default_rule, out_weights
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.run import LayerRule, fit_rule, measure_sparsity
from interp.neurons.sparsity.sources import StoreRows
from interp.results.atomic import atomic_directory

MAX_COACTIVE = 2048


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What every checkpoint of a series is asked, in the same way."""

    labels: tuple[str, ...]
    n_experts: int
    n_starts: int
    n_permutations: int
    max_tokens: int
    pool: Pooling
    rule: ActivityRule | None
    seed: int


def measure_checkpoint(
    bridge: TransformerBridge,
    corpus: Corpus,
    sites: Sequence[str],
    probe: Probe,
    *,
    step: int,
    path: Path,
) -> CheckpointRecord:
    """Scores, clusters, sparsity and co-activation of one checkpoint, written to `path`.

    The activations lie in a temporary store that is gone when it is done. Starts of clustering draw
    from a seed that the step is part of, so that no two checkpoints share them.
    """
    with TemporaryDirectory() as temporary:
        rows = Path(temporary) / "store"
        with (
            record(bridge, corpus, sites, rows, max_tokens=probe.max_tokens) as store,
            atomic_directory(path) as directory,
        ):
            _measure_into(directory, bridge, store, probe, step=step)
    return CheckpointRecord.load(path)


def _measure_into(
    directory: Path, bridge: TransformerBridge, store: ActivationStore, probe: Probe, *, step: int
) -> None:
    rule = probe.rule or default_rule(bridge)
    source = StoreRows.of(store, store.sites, max_tokens=store.n_rows)
    W_out = out_weights(bridge, source.sites)
    found = measure_sparsity(
        source,
        rule=rule,
        W_out=W_out,
        seed=probe.seed,
        model_hash=store.provenance.model_hash,
        command=f"interp modules emergence, step {step}",
    )
    rules = fit_rule(source, rule, W_out)
    for i, layer in enumerate(found.layers):
        own = replace(source, sites=(layer.site,))
        scores = score_neurons(
            store,
            site=layer.site,
            labels=probe.labels,
            pool=probe.pool,
            n_permutations=probe.n_permutations,
            seed=probe.seed,
        )
        followed = _followed(layer.n_neurons, probe.seed)
        whole, *halves = _coactivations(own, rules[layer.site], followed)
        made = LayerRecord(
            scores=scores,
            starts=_starts(bridge, layer.site, layer.dead, probe, step=step),
            dead=layer.dead,
            coactive=followed,
            whole=whole,
            halves=(halves[0], halves[1]),
        )
        made.save(directory, i)
    CheckpointRecord.finish(
        directory, step=step, model_hash=store.provenance.model_hash, found=found
    )


def _starts(
    bridge: TransformerBridge, site: str, dead: Bool[np.ndarray, " neurons"], probe: Probe, *,
    step: int,
) -> Int32[np.ndarray, "starts neurons"]:  # fmt: skip
    rows = input_rows(mlp_weights(bridge, site)).float().cpu().numpy()
    # Starts that two checkpoints share would agree for that reason alone.
    seed = int(np.random.SeedSequence([probe.seed, step]).generate_state(1)[0])
    starts = balanced_kmeans(rows, probe.n_experts, seed=seed, n_restarts=probe.n_starts, dead=dead)
    return np.stack([start.labels for start in starts.found])


def _followed(n_neurons: int, seed: int) -> Int64[np.ndarray, " followed"]:
    """All neurons, or a fixed sample: phi has an entry for every pair."""
    if n_neurons <= MAX_COACTIVE:
        return np.arange(n_neurons)
    chosen = np.random.default_rng([seed, 2]).choice(n_neurons, MAX_COACTIVE, replace=False)
    return np.sort(chosen)


@torch.no_grad()
def _coactivations(
    source: StoreRows, rule: LayerRule, followed: Int64[np.ndarray, " followed"]
) -> tuple[Coactivation, Coactivation, Coactivation]:
    """Over the whole text, over its even and over its odd sequences, of the source's one site."""
    halves = [CoactivationCounts(len(followed)) for _ in range(2)]
    chosen = torch.from_numpy(followed)
    for rows in source.batches():
        odd = torch.from_numpy(rows.sequence % 2 == 1)
        on = rule.active(rows.at[source.sites[0]])[:, chosen].float()
        halves[0].update(on[~odd])
        halves[1].update(on[odd])
    even, odd_half = (half.finish() for half in halves)
    halves[0].merge(halves[1])
    return halves[0].finish(), even, odd_half
