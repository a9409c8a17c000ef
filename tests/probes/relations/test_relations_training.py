"""Training: a primer first, answers before all else, and MLPs that must stay silent do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from interp.models.load import load
from interp.models.series import checkpoints
from interp.models.training import TrainingBatch
from probes.relations import WORLDS
from probes.relations.model import new_model
from probes.relations.recipe import RECIPES
from probes.relations.train import train_into
from probes.relations.training import training_batches, weighted_loss

SHORT = replace(RECIPES["binding"], steps=3, warmup=1, checkpoints=(0, 2), batch_size=4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_seed_gives_the_same_series_and_silent_mlps_stay_silent(tmp_path: Path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        train_into(tmp_path / name, "binding", seed=seed, recipe=SHORT)
    assert [c.step for c in checkpoints(str(tmp_path / "one"))] == [0, 2]
    one, again, other = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "again", "other")
    )
    assert one == again != other
    bridge = load(str(tmp_path / "one"))
    with torch.no_grad():
        _, cache = bridge.run_with_cache("bam bel ask bel")
    assert all(float(cache[f"blocks.{i}.hook_mlp_out"].abs().max()) == 0 for i in range(2))
    assert float(cache["blocks.0.hook_attn_out"].abs().max()) > 0


def test_matrices_are_normal_of_the_recipes_spread_and_mlps_write_nothing_at_first():
    recipe = RECIPES["grammar"]
    model = new_model(recipe, WORLDS["grammar"], seed=0)
    for name, parameter in model.named_parameters():
        if "dense_4h_to_h.weight" in name:
            assert float(parameter.detach().abs().max()) == 0
        elif parameter.ndim > 1:
            share = recipe.attention_out_share if "attention.dense" in name else 1.0
            spread = share * recipe.initial_std
            assert float(parameter.detach().std()) == pytest.approx(spread, rel=0.05)
        else:
            assert set(parameter.detach().tolist()) == {0.0 if name.endswith("bias") else 1.0}


def test_the_loss_is_that_of_answers_plus_a_share_of_that_of_other_words():
    recipe, world = replace(RECIPES["grammar"], primer_steps=0, batch_size=3), WORLDS["grammar"]
    model = new_model(recipe, world, seed=0)
    batch = next(training_batches(recipe, world, seed=0))
    with torch.no_grad():
        found = float(weighted_loss(model, batch, text_weight=0.1))
        logits = model(input_ids=batch.tokens).logits
    answers, others = [], []
    for row in range(3):
        for place in range(1, batch.tokens.shape[1]):
            token = batch.tokens[row, place]
            if int(token) == 0:
                continue
            loss = float(functional.cross_entropy(logits[row, place - 1], token))
            (answers if bool(batch.target[row, place]) else others).append(loss)
    expected = sum(answers) / len(answers) + 0.1 * sum(others) / len(others)
    assert found == pytest.approx(expected, rel=1e-5)
    no_text = TrainingBatch(batch.tokens, batch.target)
    with torch.no_grad():
        assert float(weighted_loss(model, no_text, text_weight=0.0)) == pytest.approx(
            sum(answers) / len(answers), rel=1e-5
        )


def test_the_primer_comes_first_and_is_shorter():
    recipe = replace(RECIPES["grammar"], primer_steps=2, primer_batch_size=5, batch_size=3)
    drawn = training_batches(recipe, WORLDS["grammar"], seed=0)
    shapes = [tuple(next(drawn).tokens.shape) for _ in range(4)]
    assert shapes == [(5, 40), (5, 40), (3, 96), (3, 96)]
