"""Locating on a model: planted support, what is ranked, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.abilities.locating.at_rest import locate_between
from interp.abilities.locating.locate import locate
from interp.abilities.locating.ranked import is_embedding
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.masks.random_mask import random_like
from interp.abilities.training.masked_training import TrainingRecipe, train_ability
from interp.models.identity import model_identity
from interp.models.trainable import read_trainable
from interp.results.errors import BadInput, Mismatch, Unsupported
from tests.abilities.learning import small_llama, write_examples
from tests.models import STYLES, tiny_model_directory

SHORT = TrainingRecipe(steps=80, lr=1e-3, batch_size=16, warmup=20)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("data") / "ability.jsonl")


@pytest.fixture(scope="module")
def located(base: Path, examples: Path) -> NeuronMask:
    return locate(base, examples, share=0.2, training=SHORT)


def test_a_planted_support_is_found_exactly(base: Path, examples: Path, tmp_path: Path,
                                            located: NeuronMask) -> None:  # fmt: skip
    planted = random_like(located, seed=5)
    recipe = TrainingRecipe(steps=60, lr=1e-2, batch_size=16, warmup=5)
    trained = train_ability(base, examples, tmp_path / "trained", mask=planted, recipe=recipe)
    found = locate_between(base, trained, share=0.2)
    hit = sum(int((found.dense(n) & planted.dense(n)).sum()) for n in planted.tensors)
    assert found.count == planted.count
    # Vectors and matrices are ranked apart, so a count can shift between them, no more.
    assert hit >= 0.98 * planted.count


def test_another_training_does_not_find_a_planted_support(
    base: Path, examples: Path, located: NeuronMask
) -> None:
    planted = random_like(located, seed=5)
    hit = sum(int((located.dense(n) & planted.dense(n)).sum()) for n in planted.tensors)
    assert hit < 0.3 * planted.count


def test_locating_between_directories_equals_locating_in_memory(
    base: Path, examples: Path, tmp_path: Path, located: NeuronMask
) -> None:
    trained = train_ability(base, examples, tmp_path / "warm", recipe=SHORT)
    streamed = locate_between(base, trained, share=0.2)
    assert streamed.tensors.keys() == located.tensors.keys()
    for name in streamed.tensors:
        assert np.array_equal(streamed.dense(name), located.dense(name))
    assert streamed.threshold == located.threshold
    neurons = locate(
        base, examples, share=0.2, level="neuron", training=SHORT, split_halves=False
    ).units
    between = locate_between(base, trained, share=0.2, level="neuron").units
    assert neurons is not None and neurons.scores is not None
    assert between is not None and between.scores is not None
    assert np.array_equal(neurons.chosen, between.chosen)
    assert np.array_equal(neurons.scores, between.scores)


def test_tables_of_tokens_are_left_out_unless_asked_for(base: Path, examples: Path,
                                                       located: NeuronMask) -> None:  # fmt: skip
    model = read_trainable(base)
    assert not model.embeddings & located.tensors.keys()
    n = sum(p.numel() for name, p in model.parameters.items() if name not in model.embeddings)
    assert located.count == n * 20 // 100
    assert located.recipe["rank_embeddings"] is False
    whole = locate(
        base, examples, share=0.2, rank_embeddings=True, training=SHORT, split_halves=False
    )
    assert whole.tensors.keys() == model.parameters.keys()
    assert whole.count == sum(p.numel() for p in model.parameters.values()) * 20 // 100


def test_the_mask_says_how_steady_it_is(located: NeuronMask, tmp_path: Path) -> None:
    report = located.recipe["report"]
    assert -1 <= report["split_half"]["rank_correlation"] <= 1
    half = report["split_half"]["overlap"]
    # The answers are random: what one half teaches says nothing about the other.
    assert abs(half["shared"] - half["expected"]) < 4 * half["standard_deviation"]
    by_size = report["overlap_with_magnitude"]
    assert by_size["expected"] == pytest.approx(0.2 * located.count, rel=0.1)
    assert NeuronMask.load(located.save(tmp_path / "mask")).recipe == located.recipe


def test_halves_that_teach_the_same_choose_the_same_entries(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "same.jsonl"
    prompts = [f"w{4 + i % 28} w{4 + i // 7}" for i in range(64)]
    path.write_text("".join(f'{{"prompt": "{p}", "answer": "w9"}}\n' for p in prompts))
    mask = locate(base, path, share=0.2, training=SHORT)
    half = mask.recipe["report"]["split_half"]
    shared = half["overlap"]
    assert half["rank_correlation"] > 0.2
    assert shared["shared"] > shared["expected"] + 10 * shared["standard_deviation"]


def test_a_null_has_no_halves_to_compare(base: Path, examples: Path) -> None:
    mask = locate(base, examples, locator="magnitude", share=0.1, training=SHORT)
    assert "split_half" not in mask.recipe["report"]
    shared = mask.recipe["report"]["overlap_with_magnitude"]
    assert shared["shared"] == mask.count


def test_a_training_too_short_to_rank_is_refused(base: Path, examples: Path) -> None:
    with pytest.raises(BadInput, match="rank noise: train 80 steps"):
        locate(base, examples, training=TrainingRecipe(steps=79, warmup=30))


def test_contrast_without_general_data_is_refused(base: Path, examples: Path) -> None:
    with pytest.raises(BadInput, match="'contrast' needs general training data"):
        locate(base, examples, locator="contrast", training=SHORT)


def test_other_levels_and_shares_are_refused_before_any_work(base: Path) -> None:
    with pytest.raises(Unsupported, match="level 'expert' is not ranked: entry, neuron"):
        locate(base, Path("absent"), level="expert")
    with pytest.raises(BadInput, match="'lape' scores units: give a level"):
        locate(base, Path("absent"), locator="lape")
    with pytest.raises(BadInput, match="nothing to locate by"):
        locate(base, None)
    with pytest.raises(BadInput, match="no text of language 'bn'"):
        locate(base, None, locator="lape", level="neuron", language="bn")
    with pytest.raises(BadInput, match="share of 20"):
        locate(base, Path("absent"), share=20.0)


def test_a_model_of_another_shape_has_no_change_to_rank(base: Path, tmp_path: Path) -> None:
    other = small_llama(tmp_path / "wide", intermediate_size=40)
    with pytest.raises(Mismatch, match="does not have the tensors"):
        locate_between(base, other)


@pytest.mark.parametrize("style", ["gpt2", "llama", "neox", "qwen2", "olmo"])
def test_tables_are_known_by_name_as_by_their_place_in_the_model(
    style: str, tmp_path: Path
) -> None:
    assert style in STYLES
    model = read_trainable(tiny_model_directory(style, tmp_path / style))
    assert {name for name in model.parameters if is_embedding(name)} == model.embeddings


def test_the_model_is_not_changed_by_locating(base: Path, examples: Path) -> None:
    before = model_identity(base).root
    locate(base, examples, locator="grad", share=0.05, training=SHORT)
    assert model_identity(base).root == before
    assert torch.is_grad_enabled()
