"""Measure sparsity: every layer of a source under one rule, beside its baselines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.capture.distributed import Ranks, current_ranks
from interp.neurons.sparsity.activity import active_neurons
from interp.neurons.sparsity.cett import find_threshold
from interp.neurons.sparsity.counts import Active, Gathered, SparsityCounts
from interp.neurons.sparsity.definitions import MEASURES
from interp.neurons.sparsity.layer import Measured, layer_measures
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.sources import RowSource, sample_rows
from interp.neurons.sparsity.stats import LayerSparsity, Perplexity, SparsityStats
from interp.results.errors import BadInput
from interp.results.progress import progress
from interp.results.provenance import Provenance

SAMPLE_ROWS = 1024
_GAUSSIAN_ROWS = 512

OutWeights = Mapping[str, Float[Tensor, "neurons d_model"]]


@dataclass(frozen=True)
class LayerRule:
    """A rule as one layer applies it."""

    active: Active
    epsilon: float | None


class Baseline(NamedTuple):
    """Another model on the same text: what it is called, its rows and what its neurons write."""

    name: str
    source: RowSource
    W_out: OutWeights | None


def fit_rule(
    source: RowSource, rule: ActivityRule, W_out: OutWeights | None
) -> dict[str, LayerRule]:
    """The rule at every site; under `cett` with a threshold found on evenly spaced rows."""
    if rule.name != "cett":
        return {site: LayerRule(partial(active_neurons, rule=rule), None) for site in source.sites}
    rows = sample_rows(source, n_rows=SAMPLE_ROWS)
    return {site: fit_layer(rows[site], rule, _of(W_out, site, rule)) for site in source.sites}


def fit_layer(
    h: Float[Tensor, "rows neurons"], rule: ActivityRule, W_out: Float[Tensor, "neurons d_model"]
) -> LayerRule:
    """`cett` at one layer, its threshold found on these rows."""
    found = find_threshold(h, W_out, theta=rule.value or 0.0)
    active = partial(active_neurons, rule=rule, epsilon=found.epsilon, out_norm=W_out.norm(dim=1))
    return LayerRule(active, found.epsilon)


@torch.no_grad()
def gather(
    source: RowSource, rules: Mapping[str, LayerRule], W_out: OutWeights | None
) -> dict[str, Gathered]:
    """One pass over the source; under `torchrun` each process reads its batches, and all merge."""
    ranks = current_ranks()
    counts: dict[str, SparsityCounts] = {}
    total = -(-source.max_tokens // ranks.world)
    with progress("sparsity", total=total, unit="tokens") as advance:
        for rows in source.batches(ranks.rank, ranks.world):
            for site, h in rows.at.items():
                if site not in counts:
                    counts[site] = _counts(h.shape[1], site, rules, W_out)
                counts[site].update(h, rows.sequence)
            advance(len(rows.sequence))
    merged = _merged(counts, ranks)
    if not merged:
        raise BadInput("there is no token of text: special tokens and padding do not count")
    return {site: merged[site].finish() for site in source.sites}


def measure_sparsity(
    source: RowSource,
    *,
    rule: ActivityRule,
    W_out: OutWeights | None = None,
    baseline: Baseline | None = None,
    perplexity: Callable[[Mapping[str, LayerRule]], Perplexity] | None = None,
    seed: int = 0,
    model_hash: str | None = None,
    command: str = "interp.measure_sparsity",
) -> SparsityStats:
    """Activation rates, dead and dense shares, unions and norm shares of every layer.

    `W_out` by site is needed by the rule `cett` and for all that is said of outputs. `baseline`
    is another model on the same text, such as one with random weights, measured the same way (under
    `cett` at the same θ, with thresholds of its own). Under `torchrun` the processes share the
    rows, and all get the same numbers. Raises BadInput where no token is left.
    """
    rules = fit_rule(source, rule, W_out)
    found = gather(source, rules, W_out)
    sites = source.sites
    measured = [layer_measures(found[site], seed=seed) for site in sites]
    baselines = {
        "gaussian": np.stack(
            [_gaussian(found[site], rule, rules[site].active, (W_out or {}).get(site), seed=seed)
             for site in sites]
        )
    }  # fmt: skip
    if baseline is not None:
        baselines[baseline.name] = _beside(baseline, rule=rule, sites=sites, seed=seed)
    first = found[sites[0]]
    return SparsityStats(
        rule=rule,
        layers=tuple(_layer(site, found[site], rules[site]) for site in sites),
        measures=tuple(MEASURES),
        **{name: np.stack([getattr(m, name) for m in measured]) for name in Measured._fields},
        n_tokens=first.n_rows,
        n_sequences=len(first.sums),
        baselines=baselines,
        perplexity=None if perplexity is None else perplexity(rules),
        provenance=Provenance.collect(
            command,
            model_hash=model_hash,
            corpus_hash=source.corpus_hash,
            seed=seed,
            settings={"rule": str(rule), "sites": list(sites), "n_tokens": first.n_rows},
        ),
    )


def _beside(
    baseline: Baseline, *, rule: ActivityRule, sites: tuple[str, ...], seed: int
) -> Float[np.ndarray, "layers measures"]:
    _, source, W_out = baseline
    if source.sites != sites:
        raise BadInput(
            f"the baseline has {', '.join(source.sites)}, the model itself "
            f"{', '.join(sites)}: give the same sites of both"
        )
    found = gather(source, fit_rule(source, rule, W_out), W_out)
    return np.stack([layer_measures(found[site], seed=seed, draws=2).value for site in sites])


def _gaussian(
    found: Gathered, rule: ActivityRule, active: Active, W_out: Tensor | None, *, seed: int
) -> Float[np.ndarray, " measures"]:
    """The measures of rows of independent normal neurons with the same means and deviations.

    Its rows are no sequences, and too few to call a neuron dead; under `relu` a normal draw is
    never off, and nothing is said of activity.
    """
    rng = np.random.default_rng([seed, 1])
    rows = rng.normal(found.mean, found.sd, (_GAUSSIAN_ROWS, len(found.mean))).astype(np.float32)
    counts = SparsityCounts(rows.shape[1], active=active, W_out=W_out)
    counts.update(torch.from_numpy(rows), np.zeros(len(rows), np.int64))
    value = layer_measures(counts.finish(), seed=seed).value
    unsaid = ["in_sequence", "in_sequence_independent", "dead"]
    unsaid += ["active", "dense", "dropped"] if rule.name == "relu" else []
    value[[list(MEASURES).index(key) for key in unsaid]] = np.nan
    return value


def _counts(
    n_neurons: int, site: str, rules: Mapping[str, LayerRule], W_out: OutWeights | None
) -> SparsityCounts:
    weights = None if W_out is None else W_out[site]
    return SparsityCounts(n_neurons, active=rules[site].active, W_out=weights)


def _merged(counts: dict[str, SparsityCounts], ranks: Ranks) -> dict[str, SparsityCounts]:
    """The counts of all processes in the order of their ranks; every process gets them."""
    if ranks.world == 1:
        return counts
    merged: dict[str, SparsityCounts] = {}
    for part in ranks.share(counts):
        for site, found in part.items():
            if site in merged:
                merged[site].merge(found)
            else:
                merged[site] = found
    return merged


def _layer(site: str, found: Gathered, rule: LayerRule) -> LayerSparsity:
    return LayerSparsity(
        site=site,
        threshold=rule.epsilon,
        rate=found.on / max(found.n_rows, 1),
        mean=found.mean,
        sd=found.sd,
        mean_size=found.mean_size,
        largest=found.largest,
        histogram=found.histogram,
    )


def _of(
    W_out: OutWeights | None, site: str, rule: ActivityRule
) -> Float[Tensor, "neurons d_model"]:
    if W_out is None or site not in W_out:
        raise BadInput(f"rule {rule} needs the model's W_out: give the model beside the store")
    return W_out[site]
