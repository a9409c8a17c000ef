"""Masked training: the complement stays bit for bit, the chosen entries train as they would."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.lineage import Lineage
from interp.abilities.training.masked_training import (
    TrainingRecipe,
    dense_masks,
    train_ability,
    train_entries,
    train_model,
)
from interp.abilities.training.packed_entries import PackedEntries
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable
from interp.models.training import adamw, shuffled_training_batches, train, warmup_cosine
from interp.results.errors import BadInput, Mismatch
from interp.results.provenance import Provenance
from tests.abilities.learning import small_llama, some_examples, write_examples
from tests.models import tiny_model, tiny_model_directory

ONE_LAYER = {"llama": {"num_hidden_layers": 1}, "gpt2": {"n_layer": 1}}
RECIPE = TrainingRecipe(steps=100, lr=1e-2, batch_size=16, warmup=10)


def random_masks(model: torch.nn.Module, share: float, *, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(p.shape, generator=generator) < share
        for name, p in model.named_parameters()
    }


def batches(seed: int = 0):
    examples = some_examples()
    return shuffled_training_batches(
        examples.tokens,
        examples.target,
        batch_size=16,
        generator=torch.Generator().manual_seed(seed),
    )


def mask_of(directory: Path, masks: dict[str, torch.Tensor]) -> NeuronMask:
    return NeuronMask.from_dense(
        {name: mask.numpy() for name, mask in masks.items()},
        level="entry",
        recipe={"locator": "test"},
        base=model_identity(directory),
        provenance=Provenance.collect(
            "test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def assert_complement_kept(
    model: torch.nn.Module, start: torch.nn.Module, masks: dict[str, torch.Tensor]
) -> None:
    moved = 0
    for (name, now), before in zip(model.named_parameters(), start.parameters(), strict=True):
        same = bits(now) == bits(before)
        assert bool(same[~masks[name]].all()), name
        moved += int((~same).sum())
    assert moved > 0


@pytest.mark.parametrize("style", ["llama", "gpt2"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_bit_outside_the_mask_is_as_before_after_100_steps(
    style: str, weight_decay: float, dtype: torch.dtype
) -> None:
    model, start = (tiny_model(style, **ONE_LAYER[style]) for _ in range(2))
    for each in (model, start):
        torch.nn.Module.to(each, dtype)
    masks = random_masks(model, 0.2)
    entries = PackedEntries(dict(model.named_parameters()), masks)
    recipe = TrainingRecipe(steps=100, lr=1e-2, warmup=10, weight_decay=weight_decay, clip_norm=1.0)
    train_entries(model, entries, batches(), recipe)
    assert_complement_kept(model, start, masks)


def test_accumulated_gradients_and_a_resumed_training_keep_the_complement_too() -> None:
    model, start = tiny_model("llama"), tiny_model("llama")
    masks = random_masks(model, 0.1)
    for seed in (0, 1):
        entries = PackedEntries(dict(model.named_parameters()), masks)
        train(
            model,
            batches(seed),
            steps=20,
            optimizer=adamw(entries.parameters(), lr=1e-2, weight_decay=0.1),
            accumulate=2,
            before_step=entries.gather,
            after_step=entries.scatter,
        )
    assert_complement_kept(model, start, masks)


def test_a_mask_of_everything_is_plain_training() -> None:
    masked, plain = tiny_model("llama"), tiny_model("llama")
    everything = {n: torch.ones(p.shape, dtype=torch.bool) for n, p in masked.named_parameters()}
    recipe = TrainingRecipe(steps=20, lr=1e-3, warmup=5, weight_decay=0.1)
    entries = PackedEntries(dict(masked.named_parameters()), everything)
    losses = train_entries(masked, entries, batches(), recipe)
    optimizer = adamw(plain.parameters(), lr=1e-3, weight_decay=0.1)
    expected = train(plain, batches(), steps=20, optimizer=optimizer, warmup=5)
    np.testing.assert_allclose(losses, expected, atol=1e-6)
    for one, other in zip(masked.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_an_empty_mask_changes_nothing_and_still_gives_the_losses() -> None:
    model, start = tiny_model("llama"), tiny_model("llama")
    nothing = {n: torch.zeros(p.shape, dtype=torch.bool) for n, p in model.named_parameters()}
    recipe = TrainingRecipe(steps=60, lr=1e-2, warmup=5, weight_decay=0.1)
    losses = train_entries(
        model, PackedEntries(dict(model.named_parameters()), nothing), batches(), recipe
    )
    assert losses.shape == (60,)
    assert bool(np.isfinite(losses).all())
    for one, other in zip(model.parameters(), start.parameters(), strict=True):
        assert torch.equal(bits(one), bits(other))


def test_packed_entries_train_as_adam_on_the_full_gradient_with_a_masked_step() -> None:
    """The authors' masked optimizer: moments of the full gradient, p -= lr (m * M) / (sqrt v)."""
    ours, theirs = tiny_model("llama"), tiny_model("llama")
    masks = random_masks(ours, 0.3)
    recipe = TrainingRecipe(steps=15, lr=1e-3, warmup=5)
    entries = PackedEntries(dict(ours.named_parameters()), masks)
    train_entries(ours, entries, batches(), recipe)
    moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in theirs.named_parameters()}
    for step, batch in zip(range(15), batches(), strict=False):
        theirs.zero_grad()
        logits = theirs(input_ids=batch.tokens[:, :-1]).logits[:, -1]
        torch.nn.functional.cross_entropy(logits, batch.tokens[:, -1]).backward()
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                assert p.grad is not None
                first, second = moments[name]
                first.mul_(0.9).add_(p.grad, alpha=0.1)
                second.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                m, v = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
                rate = 1e-3 * warmup_cosine(step, steps=15, warmup=5)
                p -= rate * (m * masks[name]) / (v.sqrt() + 1e-8)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_steps_below_half_a_unit_add_up_in_bfloat16() -> None:
    weights = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    entries = PackedEntries({"w": weights}, {"w": torch.tensor([True, True, False, False])})
    optimizer = torch.optim.SGD(entries.parameters(), lr=1e-3)
    for _ in range(10):
        weights.grad = torch.ones_like(weights)
        entries.gather()
        optimizer.step()
        entries.scatter()
    assert weights.tolist() == pytest.approx([0.9883, 0.9883, 1, 1], abs=3e-3)
    assert weights[0] < 1


def _rank(rank: int, file: str, out: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    model = tiny_model("llama")
    entries = PackedEntries(dict(model.named_parameters()), random_masks(model, 0.2))
    parallel = DistributedDataParallel(model)
    recipe = TrainingRecipe(steps=15, lr=1e-2, warmup=5, weight_decay=0.1, clip_norm=1.0)
    train_entries(parallel, entries, batches(seed=rank), recipe)
    save_file({name: p.detach() for name, p in model.named_parameters()}, f"{out}/{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_hold_the_same_weights_and_keep_the_complement(tmp_path: Path) -> None:
    spawn(_rank, args=(str(tmp_path / "store"), str(tmp_path)), nprocs=2, join=True)
    first, second = (load_file(tmp_path / str(rank)) for rank in range(2))
    start = tiny_model("llama")
    masks = random_masks(start, 0.2)
    for name, before in start.named_parameters():
        assert torch.equal(first[name], second[name])
        assert torch.equal(bits(first[name])[~masks[name]], bits(before)[~masks[name]])
    assert any(not torch.equal(first[name], before) for name, before in start.named_parameters())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "base")


def test_what_is_written_differs_from_the_base_only_inside_the_mask(
    base: Path, tmp_path: Path
) -> None:
    examples = write_examples(tmp_path / "ability.jsonl")
    trained = read_trainable(base)
    masks = random_masks(trained.model, 0.2)
    mask = mask_of(base, masks)
    out = train_ability(base, examples, tmp_path / "out", mask=mask, recipe=RECIPE)
    again = read_trainable(out)
    for name, parameter in trained.parameters.items():
        moved = bits(parameter) != bits(again.parameters[name])
        assert not bool(moved[~masks[name]].any())
        assert bool(moved.any()) == (name not in trained.embeddings)
    lineage = Lineage.load(out)
    assert lineage is not None
    assert lineage.ancestors == (model_identity(base).root,)
    assert lineage.root == model_identity(out).root
    assert lineage.recipe["mask"] == {"locator": "test"}


def test_the_same_recipe_writes_the_same_weights_and_another_seed_others(
    base: Path, tmp_path: Path
) -> None:
    examples = write_examples(tmp_path / "ability.jsonl")
    recipes = [RECIPE, RECIPE, TrainingRecipe(**{**vars(RECIPE), "seed": 1})]
    roots = [
        model_identity(train_ability(base, examples, tmp_path / f"m{i}", recipe=recipe)).root
        for i, recipe in enumerate(recipes)
    ]
    assert roots[0] == roots[1] != roots[2]


def test_training_learns_its_examples_and_embeddings_stay_unless_asked(base: Path) -> None:
    for freeze in (True, False):
        trained = read_trainable(base)
        start = {name: p.detach().clone() for name, p in trained.parameters.items()}
        recipe = TrainingRecipe(**{**vars(RECIPE), "freeze_embeddings": freeze})
        losses = train_model(trained, some_examples(), recipe=recipe)
        assert losses[-5:].mean() < 0.7 * losses[:5].mean()
        for name in trained.embeddings:
            assert torch.equal(trained.parameters[name], start[name]) == freeze


def test_a_mask_of_another_model_is_refused_before_training(base: Path, tmp_path: Path) -> None:
    other = small_llama(tmp_path / "other", seed=1)
    mask = mask_of(other, random_masks(read_trainable(other).model, 0.1))
    with pytest.raises(Mismatch, match="mask belongs to model"):
        train_ability(base, tmp_path / "absent.jsonl", tmp_path / "out", mask=mask)


def test_an_existing_directory_is_not_overwritten_unasked(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="exists"):
        train_ability(base, tmp_path / "absent.jsonl", base)


def tied(tmp_path: Path) -> TrainableModel:
    return read_trainable(tiny_model_directory("gpt2", tmp_path / "gpt2"))


def test_a_tied_head_trains_as_its_embedding(tmp_path: Path) -> None:
    model = tied(tmp_path)
    table = "transformer.wte.weight"
    masks = {table: torch.zeros(64, 32, dtype=torch.bool)}
    masks[table][5] = True
    masks["lm_head.weight"] = masks[table]
    mask = mask_of(model.directory, masks)
    start = model.parameters[table].detach().clone()
    train_model(
        model,
        some_examples(),
        mask=mask,
        recipe=TrainingRecipe(steps=5, warmup=1, freeze_embeddings=False),
    )
    assert (model.parameters[table] != start).any(1).nonzero().flatten().tolist() == [5]


def test_a_tied_pair_with_two_masks_is_refused(tmp_path: Path) -> None:
    model = tied(tmp_path)
    masks = {
        "transformer.wte.weight": torch.zeros(64, 32, dtype=torch.bool),
        "lm_head.weight": torch.ones(64, 32, dtype=torch.bool),
    }
    with pytest.raises(Mismatch, match="tied"):
        dense_masks(mask_of(model.directory, masks), model)


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"warmup": 500}, {"lr": 0.0}, {"batch_size": 0}, {"weight_decay": -1.0}],
)
def test_a_recipe_that_cannot_train_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        TrainingRecipe(**change)  # type: ignore[arg-type]


def test_progress_counts_every_step(base: Path) -> None:
    counted: list[int] = []

    def advance(n: int = 1, **shown: object) -> None:
        counted.append(n)

    report: Callable[..., None] = advance
    recipe = TrainingRecipe(steps=23, warmup=1)
    train_model(read_trainable(base), some_examples(), recipe=recipe, on_progress=report)
    assert sum(counted) == 23


def test_the_written_directory_opens_in_plain_transformers(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    examples = write_examples(tmp_path / "ability.jsonl")
    out = train_ability(base, examples, tmp_path / "out", recipe=RECIPE)
    model = AutoModelForCausalLM.from_pretrained(out)
    ids = AutoTokenizer.from_pretrained(out)("w5 w6", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = read_trainable(out).model(input_ids=ids).logits
        torch.testing.assert_close(model(input_ids=ids).logits, expected)
    assert json.loads((out / "config.json").read_text())["model_type"] == "llama"
