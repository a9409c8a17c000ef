"""Sparsity of a model over a text, or of a store, with the baselines that each can have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.capture.store import ActivationStore
from interp.capture.weights import in_memory_hash
from interp.corpus.corpus import Corpus
from interp.models.load import load, reference_of
from interp.models.mlp_weights import mlp_weights
from interp.models.randomised import randomised_model
from interp.neurons.baseline_store import baseline_name, refuse_baseline
from interp.neurons.sparsity.perplexity import (
    perplexity_rise,
    refuse_without_next_token,
    theta_for_rise,
)
from interp.neurons.sparsity.rule import ActivityRule
from interp.neurons.sparsity.run import (
    SAMPLE_ROWS,
    Baseline,
    LayerRule,
    OutWeights,
    fit_layer,
    measure_sparsity,
)
from interp.neurons.sparsity.sources import ModelRows, StoreRows, sample_rows
from interp.neurons.sparsity.stats import Perplexity, SparsityStats
from interp.results.errors import BadInput, Mismatch

QUICK = ActivityRule(name="cett", value=0.2)
"""Where neurons have no zero and nothing else is asked for; a claim takes a perplexity rise."""
RELU = ActivityRule(name="relu", value=None)


def model_sparsity(
    bridge: TransformerBridge,
    corpus: Corpus,
    *,
    sites: Sequence[str] = (),
    rule: ActivityRule | None = None,
    perplexity_rise_of: float | None = None,
    max_tokens: int = 20_000,
    perplexity_tokens: int = 0,
    random_weights: bool = True,
    seed: int = 0,
    command: str = "interp.model_sparsity",
) -> SparsityStats:
    """Sparsity of every MLP of a model over the first `max_tokens` tokens of a corpus.

    Without a `rule` it is `relu` for ReLU and cett:0.2 for others; `perplexity_rise_of` (0.01 is
    1%) finds θ instead, as 2402.03804 does, on `perplexity_tokens` of the same text (2,000 if not
    given). `random_weights` adds the same model with every weight drawn again, where its files are
    known. Raises BadInput for `relu` on neurons that have no zero, Unsupported for MLPs that are
    mixtures of experts.
    """
    source = ModelRows.of(bridge, corpus, sites, max_tokens=max_tokens)
    W_out = out_weights(bridge, source.sites)
    rule = rule or default_rule(bridge)
    _refuse_relu(rule, bridge)
    measured_on = perplexity_tokens
    if perplexity_rise_of is not None:
        measured_on = perplexity_tokens or 2_000
        rule = _rule_for_rise(bridge, source, W_out, rise=perplexity_rise_of, tokens=measured_on)
    if measured_on:
        refuse_without_next_token(bridge)

    def measured(rules: Mapping[str, LayerRule]) -> Perplexity:
        active = {site: layer.active for site, layer in rules.items()}
        return perplexity_rise(bridge, corpus, active, max_tokens=measured_on, seed=seed)

    run = partial(
        measure_sparsity,
        source,
        rule=rule,
        W_out=W_out,
        perplexity=measured if measured_on else None,
        seed=seed,
        model_hash=in_memory_hash(bridge),
        command=command,
    )
    reference = reference_of(bridge)
    if not random_weights or reference is None or reference.path is None:
        return run()
    with TemporaryDirectory() as temporary:
        random = load(str(randomised_model(reference.path, Path(temporary) / "random", seed)),
                      device=str(next(bridge.original_model.parameters()).device))  # fmt: skip
        rows = replace(source, bridge=random)
        return run(baseline=Baseline("random weights", rows, out_weights(random, source.sites)))


def store_sparsity(
    store: ActivationStore,
    *,
    sites: Sequence[str] = (),
    rule: ActivityRule | None = None,
    model: TransformerBridge | Path | str | None = None,
    baseline: ActivationStore | None = None,
    max_tokens: int = 20_000,
    seed: int = 0,
    command: str = "interp.store_sparsity",
) -> SparsityStats:
    """Sparsity of the neurons in a store, special tokens left out.

    `model` gives the weights that say what neurons write; without it there is no CETT. `baseline`
    is a store of the same sites and text from another model, such as one with random weights.
    Without a `rule` it is `relu` where neurons are exactly 0 somewhere. Raises Mismatch for a
    baseline of another text or of the same weights.
    """
    source = StoreRows.of(store, sites, max_tokens=max_tokens)
    rule = rule or _rule_of_rows(source, model is not None)
    W_out = None if model is None else out_weights(model, source.sites)
    _check_widths(source, W_out)
    beside: Baseline | None = None
    if baseline is not None:
        refuse_baseline(store, baseline)
        # The baseline's own weights are not known here: nothing is said of its outputs.
        rows = StoreRows.of(baseline, source.sites, max_tokens=max_tokens)
        beside = Baseline(baseline_name(baseline), rows, None)
        if rule.name == "cett":
            raise BadInput(
                f"rule {rule} needs the baseline model's weights, which its store does not hold: "
                "measure the models themselves, or use relu, abs, relmax or topk"
            )
    return measure_sparsity(
        source,
        rule=rule,
        W_out=W_out,
        baseline=beside,
        seed=seed,
        model_hash=store.provenance.model_hash,
        command=command,
    )


def out_weights(
    model: TransformerBridge | Path | str, sites: Sequence[str]
) -> dict[str, Float[Tensor, "neurons d_model"]]:
    """What every neuron of each site writes, in float32 on the CPU."""
    return {site: mlp_weights(model, site).W_out.float().cpu() for site in sites}


def default_rule(bridge: TransformerBridge) -> ActivityRule:
    """`relu` where the model's neurons are ReLU, cett:0.2 where they have no zero."""
    return RELU if _is_relu(bridge) else QUICK


def _rule_for_rise(
    bridge: TransformerBridge, source: ModelRows, W_out: OutWeights, *, rise: float, tokens: int
) -> ActivityRule:
    sample = sample_rows(source, n_rows=SAMPLE_ROWS)

    def rise_at(theta: float) -> float:
        rule = ActivityRule(name="cett", value=theta)
        active = {site: fit_layer(h, rule, W_out[site]).active for site, h in sample.items()}
        found = perplexity_rise(bridge, source.corpus, active, max_tokens=tokens, draws=2)
        return found.rise.value

    refuse_without_next_token(bridge)
    return ActivityRule(name="cett", value=theta_for_rise(rise_at, rise=rise))


def _activation(bridge: TransformerBridge) -> str:
    config: Any = bridge.original_model.config
    names = ("hidden_act", "activation_function", "dense_act_fn", "hidden_activation")
    return next((str(found) for name in names if (found := getattr(config, name, None))), "")


def _is_relu(bridge: TransformerBridge) -> bool:
    # relu, relu2, relu_squared: all are exactly 0 below 0. Not relu6, nor what is named after it.
    return _activation(bridge).lower() in ("relu", "relu2", "relu_squared", "squared_relu")


def _refuse_relu(rule: ActivityRule, bridge: TransformerBridge) -> None:
    if rule.name == "relu" and not _is_relu(bridge):
        raise BadInput(
            f"the neurons of this model are {_activation(bridge) or 'no ReLU'} and have no zero: "
            "every one would be active. Use --rule cett:0.2, abs:EPSILON, relmax:C or topk:K"
        )


def _rule_of_rows(source: StoreRows, has_weights: bool) -> ActivityRule:
    first = next(source.batches(), None)
    if first is not None and all(bool((h == 0).any()) for h in first.at.values()):
        return RELU
    if has_weights:
        return QUICK
    raise BadInput(
        f"the neurons in {source.store.path} are never 0, so a rule must say which are active: "
        "give --model for cett:0.2, or --rule abs:EPSILON, relmax:C or topk:K"
    )


def _check_widths(source: StoreRows, W_out: OutWeights | None) -> None:
    for site, weights in (W_out or {}).items():
        width = int(torch.Size(source.store.shape(site)).numel())
        if len(weights) != width:
            raise Mismatch(
                f"{site} has {width} neurons in {source.store.path} and {len(weights)} in the "
                "model: give the model that was captured"
            )
