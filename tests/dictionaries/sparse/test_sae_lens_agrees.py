"""The sparse pass gives sae-lens's losses, gradients and weights, step by step."""

from typing import Any

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import TrainingSAE, TrainStepInput, TrainStepOutput
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from interp.dictionaries.architectures import firing, make
from interp.dictionaries.step import TrainStep

D_IN, D_SAE, ROWS = 12, 96, 50
KINDS = ("topk", "batchtopk", "matryoshka_batchtopk")


def pair(name: str, **options: Any) -> tuple[TrainingSAE[Any], TrainingSAE[Any]]:
    """Ours and sae-lens's own, with the same weights, away from their starting symmetries."""
    ours = make(name, d_in=D_IN, d_sae=D_SAE, seed=0, dtype="float64", k=4, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in ours.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += 0.1 * noise
    theirs = SAE_TRAINING_CLASS_REGISTRY[name][0](ours.cfg)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def encoder_bias(sae: TrainingSAE[Any]) -> Tensor:
    return dict(sae.named_parameters())["b_enc"]


def rows(seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, D_IN, generator=generator, dtype=torch.float64)


def dead_features(n: int) -> Tensor:
    mask = torch.zeros(D_SAE, dtype=torch.bool)
    mask[torch.randperm(D_SAE, generator=torch.Generator().manual_seed(3))[:n]] = True
    return mask


def run(sae: TrainingSAE[Any], x: Tensor, dead: Tensor | None) -> TrainStepOutput:
    output = sae.training_forward_pass(
        step_input=TrainStepInput(
            sae_in=x,
            coefficients={},
            dead_neuron_mask=dead,
            n_training_steps=0,
            is_logging_step=False,
        )
    )
    output.loss.backward()
    return output


def assert_same(ours: TrainingSAE[Any], theirs: TrainingSAE[Any], x: Tensor, dead: Any) -> None:
    mine, other = run(ours, x, dead), run(theirs, x, dead)
    assert mine.feature_acts.is_sparse
    assert set(mine.losses) == set(other.losses)
    for name, loss in other.losses.items():
        torch.testing.assert_close(mine.losses[name], loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(mine.loss, other.loss, rtol=1e-9, atol=0)
    torch.testing.assert_close(mine.sae_out, other.sae_out.detach(), rtol=1e-9, atol=1e-12)
    dense = other.feature_acts.detach()
    torch.testing.assert_close(mine.feature_acts.to_dense(), dense, rtol=1e-9, atol=0)
    assert torch.equal(firing.counts(mine.feature_acts), firing.counts(dense))
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name].grad, rtol=1e-5, atol=1e-10, msg=name
        )


@pytest.mark.parametrize("n_dead", [0, 3, 6, 40, D_SAE])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_losses_and_gradients_are_sae_lens_s(name: str, rescale: bool, n_dead: int) -> None:
    ours, theirs = pair(name, rescale_acts_by_decoder_norm=rescale)
    assert_same(ours, theirs, rows(), dead_features(n_dead))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"apply_b_dec_to_input": False},
        {"aux_loss_coefficient": 0.03},
        {"normalize_activations": "expected_average_only_in"},
        {"decoder_init_norm": None},
    ],
)
def test_every_option_that_touches_the_pass_is_sae_lens_s(
    name: str, options: dict[str, Any]
) -> None:
    ours, theirs = pair(name, **options)
    assert_same(ours, theirs, rows(), dead_features(20))


def test_a_row_with_few_positive_features_keeps_only_those() -> None:
    ours, theirs = pair("topk")
    with torch.no_grad():
        for sae in (ours, theirs):
            encoder_bias(sae).sub_(2.0)
    assert_same(ours, theirs, rows(), None)


def test_a_batch_with_too_few_positive_entries_keeps_them_all() -> None:
    ours, theirs = pair("batchtopk")
    with torch.no_grad():
        for sae in (ours, theirs):
            encoder_bias(sae).sub_(3.0)
    assert_same(ours, theirs, rows(), dead_features(5))
    assert_same(ours, theirs, torch.zeros(ROWS, D_IN, dtype=torch.float64), None)


def test_a_first_block_unlike_the_rest_does_not_bend_the_selection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from interp.dictionaries.sparse import encoder

    monkeypatch.setattr(encoder, "BLOCK_BYTES", 8 * D_SAE * 7)
    for first in (10.0, 0.1):
        x = rows()
        x[:7] *= first
        ours, theirs = pair("batchtopk")
        assert_same(ours, theirs, x, dead_features(9))


def test_what_the_sparse_pass_leaves_out_goes_the_dense_way() -> None:
    ours, theirs = pair("topk", normalize_activations="layer_norm")
    mine, other = run(ours, rows(), None), run(theirs, rows(), None)
    assert not mine.feature_acts.is_sparse
    torch.testing.assert_close(mine.loss, other.loss)
    seen = []
    ours, _ = pair("topk")
    ours.hook_sae_acts_post.add_hook(lambda tensor, hook: seen.append(tensor.shape))
    run(ours, rows(), None)
    assert seen == [(ROWS, D_SAE)]


@pytest.mark.parametrize("name", KINDS)
def test_twenty_steps_are_those_of_sae_lens_s_trainer(name: str) -> None:
    """In float32, with features that are dead from the start and schedules that move."""
    options: dict[str, Any] = {"k": 4, "decoder_init_norm": 0.5}
    ours = make(name, d_in=D_IN, d_sae=D_SAE, seed=0, **options)
    theirs = SAE_TRAINING_CLASS_REGISTRY[name][0](ours.cfg)
    with torch.no_grad():
        encoder_bias(ours)[dead_features(20)] = -1.0
    theirs.load_state_dict(ours.state_dict())
    config = SAETrainerConfig(
        total_training_samples=20 * ROWS,
        train_batch_size_samples=ROWS,
        lr=3e-3,
        lr_end=3e-4,
        lr_scheduler_name="cosineannealing",
        lr_warm_up_steps=5,
        lr_decay_steps=5,
        dead_feature_window=3,
        feature_sampling_window=8,
    )
    step = TrainStep(ours, config)
    trainer = SAETrainer(config, theirs, data_provider=iter([]))
    for number in range(20):
        x = rows(number).float()
        trainer.maybe_reset_sparsity()
        expected = trainer.step(x)
        trainer.n_training_steps += 1
        found = step.step(x)
        for loss_name, loss in expected.losses.items():
            torch.testing.assert_close(found.losses[loss_name], loss.detach(), rtol=1e-3, atol=1e-5)
        assert torch.equal(step.dead, trainer.dead_neurons)
        assert step.lr == trainer.optimizer.param_groups[0]["lr"]
    assert step.dead.any()
    assert step.n_frac_active_samples == trainer.n_frac_active_samples
    torch.testing.assert_close(step.act_freq_scores, trainer.act_freq_scores, rtol=0, atol=3)
    for (key, mine), other in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-3, msg=key)


def test_sae_lens_s_own_trainer_takes_our_classes() -> None:
    ours, theirs = pair("batchtopk")
    config = SAETrainerConfig(
        total_training_samples=ROWS * 3, train_batch_size_samples=ROWS, lr_end=3e-4
    )
    trainers = [SAETrainer(config, sae, data_provider=iter([])) for sae in (ours, theirs)]
    for number in range(3):
        mine, other = (trainer.step(rows(number)) for trainer in trainers)
        torch.testing.assert_close(mine.loss.detach(), other.loss.detach(), rtol=1e-5, atol=0)
    assert torch.equal(*(trainer.act_freq_scores for trainer in trainers))
