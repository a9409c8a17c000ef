"""Locators on a known support: the shipped base, an ability written into chosen entries of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from benchmarks.planted import (
    LAYERS,
    PLANTING,
    SHARE,
    by_chance,
    copied,
    drifting,
    evidence_at,
    flat,
    found,
    moved,
    planted_mask,
    scores_by,
)
from interp.abilities.locating.evidence import after_training
from interp.abilities.training.masked_training import train_model
from interp.models.examples import encode_examples
from interp.models.hub import directory_of
from interp.models.trainable import TrainableModel, read_trainable
from probes.polyglot import ability_training, general_training

SEED = 1


@pytest.fixture(scope="module")
def base() -> TrainableModel:
    return read_trainable(directory_of("polyglot"))


def test_the_planted_entries_are_a_share_of_the_model_inside_the_middle_mlps(
    base: TrainableModel,
) -> None:
    mask = planted_mask(base, seed=SEED)
    n = sum(p.numel() for p in base.parameters.values())
    assert mask.count == int(n * SHARE)
    inside = [f"model.layers.{layer}.mlp." for layer in LAYERS]
    for name, count in mask.counts_by_tensor().items():
        assert (count > 0) == any(name.startswith(place) for place in inside)


def test_precision_and_auroc_are_what_their_definitions_say() -> None:
    rng = np.random.default_rng(0)
    planted = np.zeros(400, dtype=bool)
    planted[:20] = True
    scores = rng.normal(size=400) + 2.0 * planted
    got = found(scores, planted)
    highest = sorted(range(400), key=lambda entry: -scores[entry])[:20]
    assert got.precision == np.mean([entry < 20 for entry in highest])
    pairs = mannwhitneyu(scores[planted], scores[~planted]).statistic
    assert got.auroc == pytest.approx(pairs / (20 * 380))
    assert found(np.zeros(400), planted).auroc == 0.5
    assert abs(np.mean([f.precision for f in by_chance(planted, seed=0)]) - 0.05) < 0.05


@pytest.mark.slow
def test_change_finds_where_an_ability_was_written_and_what_starts_from_the_base_does_not(
    base: TrainableModel,
) -> None:
    tokenizer, names, start = base.tokenizer(), sorted(base.parameters), copied(base)
    ability = encode_examples(ability_training(SEED, n=6400), tokenizer)
    general = encode_examples(general_training(SEED, n=6400), tokenizer)
    mask = planted_mask(base, seed=SEED)
    planted = np.concatenate([mask.dense(name).reshape(-1) for name in names])
    drift = drifting(1e-4, SEED, steps=80)
    short = after_training(base, ability, names, replace(PLANTING, steps=60, warmup=10, lr=1e-3))
    twin = after_training(base, general, names, drift)
    try:
        train_model(base, ability, mask=mask, recipe=replace(PLANTING, steps=100))
        train_model(base, general, recipe=drift)
        changes = moved(start, copied(base), twin)
    finally:
        with torch.no_grad():
            for name, parameter in base.parameters.items():
                parameter.copy_(start[name])
    precision = {
        "change": found(scores_by("change", changes), planted).precision,
        "corrected": found(scores_by("contrast", changes), planted).precision,
        "short": found(scores_by("change", moved(start, short, twin)), planted).precision,
    }
    assert precision["corrected"] >= 0.85
    assert precision["corrected"] > precision["change"]
    assert precision["short"] <= 0.15


@pytest.mark.slow
def test_gradients_at_the_base_do_not_know_where_another_training_wrote(
    base: TrainableModel,
) -> None:
    ability = encode_examples(ability_training(SEED, n=64), base.tokenizer())
    mask = planted_mask(base, seed=SEED)
    planted = np.concatenate([mask.dense(n).reshape(-1) for n in sorted(base.parameters)])
    evidence = evidence_at(base, ability)
    for locator in ("grad", "fisher", "saliency", "magnitude"):
        assert found(scores_by(locator, evidence), planted).precision <= 0.15
    assert flat(copied(base)).size == planted.size
