import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.models.training import next_token_loss
from interp.results.errors import BadInput
from probes.polyglot.card import card, lines
from probes.polyglot.family import answer_batches, train_base, train_from, train_stage
from probes.polyglot.languages import LINE_WORDS, NUMBERS, WORDS
from probes.polyglot.mixtures import line_batches
from probes.polyglot.model import new_model, read_model, write_model
from probes.polyglot.recipe import VARIANTS, Recipe, Shape
from probes.polyglot.train import train_family

TINY = Shape(d_model=16, n_layers=2, n_heads=2, d_mlp=24, n_ctx=8)


def short(recipe: Recipe, steps: int = 3) -> Recipe:
    """The same recipe, a few steps of it on a tiny model."""
    stages = {name: replace(getattr(recipe, name), steps=steps, warmup=1) for name in VARIANTS}
    return replace(recipe, shape=TINY, **stages)


def states_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_seed_makes_one_model_whatever_torch_drew_before():
    first = new_model(TINY, seed=5)
    torch.rand(7)
    assert states_equal(first, new_model(TINY, seed=5))
    assert not states_equal(first, new_model(TINY, seed=6))


def test_new_weights_have_the_spread_asked_for_and_norms_of_one():
    model = new_model(replace(TINY, d_model=64, initial_std=0.05), seed=0)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            assert bool((parameter == 1).all())
        else:
            assert float(parameter.detach().std()) == pytest.approx(0.05, rel=0.1)
    weights = dict(model.named_parameters())
    assert not torch.equal(weights["model.embed_tokens.weight"], weights["lm_head.weight"])


def test_training_twice_from_one_seed_gives_the_same_weights():
    recipe = short(Recipe())
    assert states_equal(train_base(recipe, seed=1), train_base(recipe, seed=1))
    assert not states_equal(train_base(recipe, seed=1), train_base(recipe, seed=2))


def test_training_a_variant_leaves_the_base_as_it_is():
    recipe = short(Recipe())
    base = train_base(recipe, seed=1)
    before = [parameter.detach().clone() for parameter in base.parameters()]
    for variant in VARIANTS[1:]:
        assert not states_equal(train_from(base, variant, recipe, seed=1), base)
    for old, new in zip(before, base.parameters(), strict=True):
        assert torch.equal(old, new)


def test_embeddings_move_at_their_own_rate_and_not_at_all_at_zero():
    recipe = short(Recipe(), steps=1)
    for stage in (recipe.ability, recipe.language):
        model = new_model(TINY, seed=0)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        train_stage(model, stage, seed=0)
        for name, parameter in model.named_parameters():
            rate = stage.lr_embeddings if "embed" in name or "lm_head" in name else stage.lr
            moved = float((parameter.detach() - before[name]).abs().max())
            # The first step of Adam moves an entry by its learning rate at most, and nearly so.
            assert moved == pytest.approx(rate, rel=0.02)
            assert parameter.requires_grad


def test_loss_is_taken_on_the_answer_alone():
    stage = replace(Recipe().ability, batch_size=16)
    batch = next(answer_batches(stage, seed=0))
    assert batch.tokens.shape == (16, LINE_WORDS)
    assert {WORDS[token] for token in batch.tokens[batch.target].tolist()} <= set(NUMBERS["A"])
    model = new_model(TINY, seed=0)
    with torch.no_grad():
        log_p = model(input_ids=batch.tokens[:, :-1]).logits[:, -1].log_softmax(-1)
        by_hand = -log_p[torch.arange(16), batch.tokens[:, -1]].mean()
        assert float(next_token_loss(model, batch)) == pytest.approx(float(by_hand), abs=1e-6)


def test_every_stage_reads_a_stream_of_its_own():
    recipe = Recipe()
    seeds = [getattr(recipe, variant).data_seed for variant in VARIANTS]
    assert len(set(seeds)) == len(seeds)
    mixture = recipe.base.mixture
    drawn = [next(line_batches(mixture, batch_size=50, seed=seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_written_model_is_read_back_rounded_once(tmp_path: Path):
    model = new_model(TINY, seed=3)
    write_model(model, tmp_path, dtype=torch.float16)
    for old, new in zip(model.parameters(), read_model(tmp_path).parameters(), strict=True):
        assert old.dtype == new.dtype == torch.float32
        assert torch.equal(old.half().float(), new)


def test_a_family_is_written_whole_and_its_card_measures_it(tmp_path: Path):
    out = tmp_path / "family"
    train_family(out, seed=4, recipe=short(Recipe()))
    assert sorted(path.name for path in out.iterdir()) == sorted([*VARIANTS, "training.json"])
    content = card(out)
    assert content["seed"] == 4
    assert json.loads(json.dumps(content, allow_nan=False))["variants"].keys() == set(VARIANTS)
    table = list(lines(content))
    assert [line.split()[0] for line in table[2:]] == [*VARIANTS, "n"]
    with pytest.raises(BadInput, match="exists"):
        train_family(out, seed=4, recipe=short(Recipe()))
