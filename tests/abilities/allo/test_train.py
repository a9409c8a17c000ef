"""A stage moves its entries and no other bit, however its updates are cut or interrupted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.abilities.allo.batches import StageBatch
from interp.abilities.allo.checkpoint import StageState
from interp.abilities.allo.log_probs import answer_log_probs, reference_log_probs
from interp.abilities.allo.losses import dpo_loss
from interp.abilities.allo.objectives import Objective, objective_of
from interp.abilities.allo.pairs import EncodedPairs, encode_pairs
from interp.abilities.allo.stages import StageRecipe
from interp.abilities.allo.train import run_stage
from interp.abilities.masks.mask import NeuronMask
from interp.abilities.training.processes import join_processes
from interp.models.identity import model_identity
from interp.models.trainable import TrainableModel, read_trainable
from interp.models.training import warmup_cosine
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.provenance import Provenance
from tests.abilities.allo.preferences import some_pairs
from tests.abilities.learning import small_llama
from tests.models import tiny_model_directory

STAGE = StageRecipe(stage="dpo", steps=20, lr=3e-3, batch_size=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("model") / "base", num_hidden_layers=1)


@pytest.fixture(scope="module")
def pairs(base: Path) -> EncodedPairs:
    return encode_pairs(some_pairs(), read_trainable(base).tokenizer())


def mask_of(model: TrainableModel, masks: dict[str, Tensor]) -> NeuronMask:
    made = Provenance.collect("test", model_hash=None, corpus_hash=None, seed=0, settings={})
    return NeuronMask.from_dense(
        {name: mask.numpy() for name, mask in masks.items()},
        level="entry",
        recipe={"locator": "test"},
        base=model_identity(model.directory),
        provenance=made,
    )


def random_mask(model: TrainableModel, share: float) -> tuple[NeuronMask, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    masks = {
        n: torch.rand(p.shape, generator=generator) < share for n, p in model.parameters.items()
    }
    return mask_of(model, masks), masks


def weights(model: TrainableModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.parameters.items()}


def moved(model: TrainableModel, start: dict[str, Tensor]) -> dict[str, Tensor]:
    """Where a bit differs, by tensor."""
    bits = torch.int32 if model.model.dtype == torch.float32 else torch.int16
    return {
        name: p.detach().view(bits) != start[name].view(bits)
        for name, p in model.parameters.items()
    }


@pytest.mark.parametrize("stage", ["dpo", "forget", "learn"])
@pytest.mark.parametrize(("decay", "clip", "accumulate"), [(0.0, None, 1), (0.1, 0.5, 3)])
def test_every_bit_outside_the_mask_is_as_before_after_100_steps(
    base: Path, pairs: EncodedPairs, stage: str, decay: float, clip: float | None, accumulate: int
) -> None:
    model = read_trainable(base)
    start = weights(model)
    mask, masks = random_mask(model, 0.2)
    recipe = replace(
        STAGE, stage=stage, steps=100, weight_decay=decay, clip_norm=clip, accumulate=accumulate
    )
    losses = run_stage(model, pairs, replace(recipe, epsilon=0.4), mask=mask)
    assert losses[0] > losses[-5:].mean()
    changed = moved(model, start)
    assert any(bool(where.any()) for where in changed.values())
    for name, where in changed.items():
        assert not bool(where[~masks[name]].any()), name


def test_a_bfloat16_model_keeps_its_complement_and_adds_up_small_steps(
    base: Path, pairs: EncodedPairs
) -> None:
    model = read_trainable(base)
    torch.nn.Module.to(model.model, torch.bfloat16)
    start = weights(model)
    mask, masks = random_mask(model, 0.3)
    name = "model.layers.0.mlp.up_proj.weight"
    run_stage(model, pairs, replace(STAGE, lr=2e-5, steps=60, warmup_ratio=0.0), mask=mask)
    changed = moved(model, start)
    assert all(not bool(changed[n][~masks[n]].any()) for n in masks)
    # A step of 2e-5 is below half a unit of the last place of most weights around 0.02.
    assert float(changed[name][masks[name]].float().mean()) > 0.3


def test_the_reference_is_where_the_stage_starts(base: Path, pairs: EncodedPairs) -> None:
    model = read_trainable(base)
    for stage, first in (("dpo", np.log(2)), ("learn", np.log(2))):
        losses = run_stage(model, pairs, replace(STAGE, stage=stage, steps=5))
        assert losses[0] == pytest.approx(first, abs=1e-7)
        assert losses[-1] < first


def test_learning_starts_as_dpo_whatever_epsilon(base: Path, pairs: EncodedPairs) -> None:
    ends = []
    for recipe in (STAGE, replace(STAGE, stage="learn", epsilon=0.1)):
        model = read_trainable(base)
        run_stage(model, pairs, replace(recipe, steps=1))
        ends.append(weights(model))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_mask_of_everything_trains_as_no_mask_and_one_of_nothing_changes_nothing(
    base: Path, pairs: EncodedPairs
) -> None:
    recipe = replace(STAGE, weight_decay=0.1)
    plain, full, none = (read_trainable(base) for _ in range(3))
    start = weights(plain)
    losses = [
        run_stage(plain, pairs, recipe),
        run_stage(full, pairs, recipe, mask=random_mask(full, 1.1)[0]),
        run_stage(none, pairs, recipe, mask=random_mask(none, -1.0)[0]),
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert not any(bool(where.any()) for where in moved(full, weights(plain)).values())
    assert not any(bool(where.any()) for where in moved(none, start).values())
    np.testing.assert_allclose(losses[2], np.log(2), atol=1e-6)


def test_packed_entries_train_as_the_authors_masked_adam(base: Path, pairs: EncodedPairs) -> None:
    """Moments of the full gradient and a masked step, p -= lr (m * M) / (sqrt v + eps)."""
    ours, theirs = read_trainable(base), read_trainable(base)
    mask, masks = random_mask(ours, 0.3)
    recipe = replace(STAGE, lr=1e-3, steps=15, batch_size=len(pairs))
    run_stage(ours, pairs, recipe, mask=mask)
    known = reference_log_probs(theirs.model, pairs)
    moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in theirs.parameters.items()}
    for step in range(15):
        theirs.model.zero_grad()
        ratios = [
            answer_log_probs(theirs.model, side.tokens, side.answer) - before
            for side, before in zip((pairs.chosen, pairs.rejected), known, strict=True)
        ]
        dpo_loss(*ratios, beta=recipe.beta).backward()
        rate = recipe.lr * warmup_cosine(step, steps=15, warmup=2)
        with torch.no_grad():
            for name, p in theirs.parameters.items():
                assert p.grad is not None
                first, second = moments[name]
                first.mul_(0.9).add_(p.grad, alpha=0.1)
                second.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                m, v = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
                p -= rate * (m * masks[name]) / (v.sqrt() + 1e-8)
    for name, p in ours.parameters.items():
        torch.testing.assert_close(p, theirs.parameters[name], atol=5e-6, rtol=0)


@pytest.mark.parametrize("stage", ["dpo", "forget", "learn"])
def test_an_update_in_pieces_is_the_update_of_the_batch(
    base: Path, pairs: EncodedPairs, stage: str
) -> None:
    ends, losses = [], []
    for pieces in (1, 4):
        model = read_trainable(base)
        recipe = replace(STAGE, stage=stage, accumulate=pieces, steps=8, lr=1e-4)
        losses.append(run_stage(model, pairs, recipe))
        ends.append(weights(model))
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], atol=2e-5, rtol=0)


def test_before_the_first_update_the_model_is_its_own_reference_to_the_last_bit(
    base: Path, pairs: EncodedPairs
) -> None:
    own: list[bool] = []

    def loss(batch: StageBatch, recipe: StageRecipe) -> Tensor:
        side = batch.sides["rejected"]
        own.append(side.reference.data_ptr() == side.log_probs.data_ptr())
        return side.ratio.square().sum() / batch.n_pairs

    spy = Objective(name="spy", question="", sides=("rejected",), loss=loss)
    known = reference_log_probs(read_trainable(base).model, pairs)
    for reference in (None, known):
        recipe = replace(STAGE, steps=2, accumulate=2)
        run_stage(read_trainable(base), pairs, recipe, objective=spy, reference=reference)
    assert own == [True, True, False, False] + [False] * 4


@pytest.mark.parametrize("masked", [False, True])
def test_an_interrupted_stage_ends_with_the_bits_of_an_uninterrupted_one(
    base: Path, pairs: EncodedPairs, tmp_path: Path, masked: bool
) -> None:
    class Killed(Exception):
        pass

    recipe = replace(STAGE, stage="learn", epsilon=0.4, weight_decay=0.1, clip_norm=0.5)
    whole, cut = read_trainable(base), read_trainable(base)
    mask = random_mask(whole, 0.2)[0] if masked else None
    expected = run_stage(whole, pairs, recipe, mask=mask)
    seen = 0

    def advance(n: int = 1) -> None:
        nonlocal seen
        seen += n
        if seen == 11:
            raise Killed

    state = StageState(file=tmp_path / "learn.safetensors", every=4)
    with pytest.raises(Killed):
        run_stage(cut, pairs, recipe, mask=mask, state=state, on_progress=advance)
    resumed = read_trainable(base)
    losses = run_stage(resumed, pairs, recipe, mask=mask, state=state)
    np.testing.assert_array_equal(losses, expected)
    assert not any(bool(where.any()) for where in moved(resumed, weights(whole)).values())
    again = read_trainable(base)
    run_stage(again, pairs, recipe, mask=mask, state=state)
    assert not any(bool(where.any()) for where in moved(again, weights(whole)).values())


def test_a_file_that_is_no_state_of_the_stage_is_refused(
    base: Path, pairs: EncodedPairs, tmp_path: Path
) -> None:
    file = tmp_path / "dpo.safetensors"
    file.write_bytes(b"not a state")
    with pytest.raises(CorruptFile, match="not a state of this stage"):
        run_stage(read_trainable(base), pairs, STAGE, state=StageState(file=file, every=4))


def test_bfloat16_arithmetic_trains_float32_weights(base: Path, pairs: EncodedPairs) -> None:
    from accelerate.state import AcceleratorState

    model = read_trainable(base)
    start = weights(model)
    mask, masks = random_mask(model, 0.2)
    AcceleratorState._reset_state()
    try:
        processes = join_processes(mixed_precision="bf16")
        losses = run_stage(model, pairs, STAGE, mask=mask, processes=processes)
    finally:
        AcceleratorState._reset_state()
    assert losses[0] == pytest.approx(np.log(2), abs=1e-7)
    assert losses[-1] < losses[0] - 0.01
    assert model.model.dtype == torch.float32
    assert all(not bool(where[~masks[n]].any()) for n, where in moved(model, start).items())
    assert not hasattr(model.model, "_original_forward")


def test_a_tied_pair_trains_as_one_and_two_masks_for_it_are_refused(tmp_path: Path) -> None:
    model = read_trainable(tiny_model_directory("gpt2", tmp_path / "gpt2"))
    data = encode_pairs(some_pairs(), model.tokenizer())
    table, head = "transformer.wte.weight", "lm_head.weight"
    rows = torch.zeros(64, 32, dtype=torch.bool)
    rows[5:9] = True
    start = weights(model)
    recipe = replace(STAGE, steps=5, weight_decay=0.1)
    run_stage(model, data, recipe, mask=mask_of(model, {table: rows, head: rows}))
    changed = moved(model, start)
    assert changed.pop(table).any(1).nonzero().flatten().tolist() == [5, 6, 7, 8]
    assert not any(bool(where.any()) for where in changed.values())
    with pytest.raises(Mismatch, match="tied"):
        run_stage(model, data, recipe, mask=mask_of(model, {table: rows, head: ~rows}))


def test_frozen_embeddings_stay(base: Path, pairs: EncodedPairs) -> None:
    model = read_trainable(base)
    start = weights(model)
    run_stage(model, pairs, replace(STAGE, freeze_embeddings=True, steps=3))
    still = {name for name, where in moved(model, start).items() if not bool(where.any())}
    assert still == set(model.embeddings)


def test_what_cannot_be_run_is_refused(base: Path, pairs: EncodedPairs) -> None:
    model = read_trainable(base)
    with pytest.raises(BadInput, match="no stage 'rest'"):
        run_stage(model, pairs, replace(STAGE, stage="rest"))
    with pytest.raises(BadInput, match="in 9 pieces"):
        replace(STAGE, accumulate=9)
    with pytest.raises(BadInput, match="accelerate cannot be set up"):
        join_processes(mixed_precision="fp8")
    assert objective_of("warmup") is objective_of("dpo")
