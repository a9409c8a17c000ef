"""How far a threshold comes: told of, and put right by either remedy."""

import re
from typing import Any

import pytest

from interp.capture.store import ActivationStore
from interp.dictionaries.training.plan import plan_training, training_settings
from interp.dictionaries.training.settling import unsettled
from tests.dictionaries.training.planted import READ


def said(
    store: ActivationStore, n_steps: int, arch: str = "batchtopk", **options: Any
) -> str | None:
    settings = training_settings(arch=arch, n_tokens=10 * n_steps, batch_size=10)
    plan = plan_training(
        store, site=READ, d_sae=24, k=2, settings=settings, arch=arch, options=options
    )
    return unsettled(plan.recipes)


@pytest.mark.parametrize("n_steps", [1, 39, 298])
def test_each_remedy_of_a_short_run_is_enough_and_no_more(
    store: ActivationStore, n_steps: int
) -> None:
    text = said(store, n_steps)
    assert text is not None
    reached = 0.0
    for _ in range(n_steps):
        reached += 0.01 * (1 - reached)
    assert f"goes {reached:.0%} of its way" in text
    steps = int(re.findall(r"take ([\d,]+) steps", text)[0].replace(",", ""))
    assert said(store, steps) is None and said(store, steps - 1) is not None
    rate = float(re.findall(r"--option topk_threshold_lr=([\d.]+)", text)[0])
    assert said(store, n_steps, topk_threshold_lr=rate) is None
    assert said(store, n_steps, topk_threshold_lr=rate - 0.001) is not None


def test_a_threshold_that_follows_at_once_and_no_threshold_are_not_told_of(
    store: ActivationStore,
) -> None:
    assert said(store, 1, topk_threshold_lr=1) is None
    assert said(store, 1, arch="topk") is None


def test_of_a_sweep_the_slowest_is_told_of(store: ActivationStore) -> None:
    text = said(store, 39, topk_threshold_lr=[0.5, 0.01])
    assert text is not None and "topk_threshold_lr=0.01:" in text
