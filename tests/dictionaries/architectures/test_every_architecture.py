"""Whatever the architecture: built from a seed, trained, saved and opened by sae-lens."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import SAE, TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from interp.dictionaries.architectures import architectures, firing, make, seeded
from interp.dictionaries.step import TrainStep
from interp.results.errors import BadInput

D_IN, D_OUT, D_SAE, ROWS = 12, 9, 64, 48
NAMES = sorted(architectures())
SAVED_AS = {
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
    "transcoder": "jumprelu_transcoder",
    "skip_transcoder": "jumprelu_skip_transcoder",
}


def build(name: str, seed: int = 0, **options: Any) -> TrainingSAE[Any]:
    architecture = architectures()[name]
    if hasattr(architecture.config_class, "k"):
        options.setdefault("k", 5)
    d_out = D_OUT if architecture.reads_two_sites else None
    return make(name, d_in=D_IN, d_sae=D_SAE, d_out=d_out, seed=seed, **options)


def batch(name: str, seed: int) -> Tensor:
    """Sparse sums of 20 directions; a second site is a linear image of the first."""
    generator = torch.Generator().manual_seed(7)
    directions = torch.randn(20, D_IN, generator=generator)
    image = torch.randn(D_IN, D_OUT, generator=generator) / D_IN**0.5
    draw = torch.Generator().manual_seed(seed)
    on = torch.rand(ROWS, 20, generator=draw) < 0.15
    x = (on * torch.rand(ROWS, 20, generator=draw)) @ directions
    return torch.cat([x, x @ image], dim=-1) if architectures()[name].reads_two_sites else x


def config(n_steps: int, **settings: Any) -> SAETrainerConfig:
    settings = {"lr": 3e-3, "lr_end": 3e-3, "dead_feature_window": 10} | settings
    return SAETrainerConfig(
        total_training_samples=n_steps * ROWS, train_batch_size_samples=ROWS, **settings
    )


def test_every_kind_that_sae_lens_trains_is_there() -> None:
    assert set(SAE_TRAINING_CLASS_REGISTRY) <= set(NAMES)
    assert {"transcoder", "skip_transcoder"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_is_the_same_dictionary_and_nothing_else_is_drawn(name: str) -> None:
    before = torch.get_rng_state()
    first, same, other = build(name, 0), build(name, 0), build(name, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.W_dec, same.W_dec)
    assert torch.equal(first.W_enc, same.W_enc)
    assert not torch.equal(first.W_dec, other.W_dec)


@pytest.mark.parametrize("name", NAMES)
def test_training_lowers_the_error_and_saves_what_sae_lens_opens(name: str, tmp_path: Path) -> None:
    step = TrainStep(build(name), config(80))
    errors = []
    for number in range(80):
        errors.append(float(step.step(batch(name, number)).losses["mse_loss"]))
    assert sum(errors[-10:]) < 0.5 * sum(errors[:10])
    step.sae.save_inference_model(tmp_path)
    opened = SAE.load_from_disk(tmp_path)
    assert opened.cfg.architecture() == SAVED_AS.get(name, name)
    x = batch(name, 1000)[:, :D_IN]
    target = batch(name, 1000)[:, D_IN:] if architectures()[name].reads_two_sites else x
    error = (opened(x) - target).square().sum(dim=-1).mean()
    assert error < 2 * sum(errors[-10:]) / 10


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_step_is_bitwise_the_uninterrupted_one(name: str) -> None:
    settings = {
        "lr_end": 1e-4,
        "lr_scheduler_name": "cosineannealing",
        "lr_warm_up_steps": 4,
        "feature_sampling_window": 5,
        "dead_feature_window": 3,
    }
    whole, begun = (TrainStep(build(name), config(12, **settings)) for _ in range(2))
    for number in range(12):
        whole.step(batch(name, number))
    for number in range(6):
        begun.step(batch(name, number))
    state = begun.state_dict()
    resumed = TrainStep(build(name, seed=5), config(12, **settings))
    resumed.load_state_dict(state)
    for number in range(6, 12):
        resumed.step(batch(name, number))
    expected = whole.state_dict()
    found = resumed.state_dict()
    assert found.numbers == expected.numbers
    assert set(found.tensors) == set(expected.tensors)
    for key, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[key], tensor), key


def sae_lens_s_own(ours: TrainingSAE[Any]) -> TrainingSAE[Any]:
    """A dictionary of sae-lens's class with the same weights."""
    kind = SAE_TRAINING_CLASS_REGISTRY[ours.cfg.architecture()][0]
    assert kind.__module__.startswith("sae_lens.")
    theirs = kind(deepcopy(ours.cfg))
    theirs.load_state_dict(ours.state_dict())
    return theirs


@pytest.mark.parametrize("name", sorted({*NAMES} - {"transcoder", "skip_transcoder"}))
def test_steps_are_those_of_sae_lens_s_trainer(name: str) -> None:
    ours = build(name)
    theirs = sae_lens_s_own(ours)
    settings = {"lr_warm_up_steps": 3, "dead_feature_window": 4, "feature_sampling_window": 6}
    step = TrainStep(ours, config(15, **settings))
    trainer = SAETrainer(config(15, **settings), theirs, data_provider=iter([]))
    for number in range(15):
        trainer.maybe_reset_sparsity()
        expected = trainer.step(batch(name, number))
        trainer.n_training_steps += 1
        found = step.step(batch(name, number)).losses
        for key, loss in expected.losses.items():
            torch.testing.assert_close(found[key], loss.detach(), rtol=1e-3, atol=1e-5)
        assert torch.equal(step.dead, trainer.dead_neurons)
    torch.testing.assert_close(step.act_freq_scores, trainer.act_freq_scores, rtol=0, atol=2)


@pytest.mark.parametrize("name", ["transcoder", "skip_transcoder"])
def test_a_transcoder_s_sparse_pass_is_its_dense_one(name: str) -> None:
    sparse, dense = build(name, dtype="float64"), build(name, dtype="float64")
    with torch.no_grad():
        for sae in (sparse, dense):
            sae.W_dec.add_(0.1)
            sae.b_dec.add_(0.2)
    dense.hook_sae_acts_post.add_hook(lambda tensor, hook: tensor)
    steps = [TrainStep(sae, config(8, dead_feature_window=2)) for sae in (sparse, dense)]
    for number in range(8):
        mine, other = (step.step(batch(name, number).double()) for step in steps)
        assert mine.output.feature_acts.is_sparse
        assert not other.output.feature_acts.is_sparse
        torch.testing.assert_close(mine.losses["loss"], other.losses["loss"], rtol=1e-5, atol=0)
    assert mine.losses["auxiliary_reconstruction_loss"] > 0


def test_a_skip_path_alone_learns_a_linear_map() -> None:
    """With features that cannot fire, what is left is linear regression."""
    sae = build("skip_transcoder")
    with torch.no_grad():
        dict(sae.named_parameters())["b_enc"].fill_(-100.0)
        sae.b_dec.zero_()
    step = TrainStep(sae, config(200, lr=3e-2, lr_end=3e-2, dead_feature_window=10**6))
    losses = [step.step(batch("skip_transcoder", n)).losses["mse_loss"] for n in range(200)]
    assert losses[-1] < 1e-2 * losses[0]


def test_a_decoder_s_bias_starts_where_it_is_told() -> None:
    mean = torch.arange(float(D_OUT))
    sae = make("transcoder", d_in=D_IN, d_out=D_OUT, d_sae=D_SAE, seed=0, k=3, b_dec=mean)
    assert torch.equal(sae.b_dec, mean)
    with pytest.raises(BadInput, match=r"b_dec has shape \(12,\), expected \(9,\)"):
        make("transcoder", d_in=D_IN, d_out=D_OUT, d_sae=D_SAE, seed=0, b_dec=torch.zeros(D_IN))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("batchtopkk", {}, "no architecture is called 'batchtopkk': the nearest are batchtopk"),
        ("topk", {"aux_loss_coeficient": 1.0}, "aux_loss_coefficient"),
        ("topk", {"k": 65}, "k is 65, expected more than 0 and at most d_sae = 64"),
        ("topk", {"k": 2.5}, "expected a whole number"),
        ("standard", {"d_out": 9}, "reconstructs its own input of width 12"),
        ("transcoder", {"normalize_activations": "layer_norm"}, "normalize_activations must be"),
        ("matryoshka_batchtopk", {"matryoshka_widths": [9, 3, 64]}, "strictly increasing"),
        ("matryoshka_batchtopk", {"matryoshka_widths": [9, 65]}, "at most d_sae = 64"),
        ("matryoshka_batchtopk", {"matryoshka_widths": [64]}, "one level is plain batchtopk"),
        ("matryoshka_batchtopk", {"matryoshka_widths": [8, "x"]}, "a list of whole numbers"),
        ("batchtopk", {"k": "abc"}, "option k is 'abc': expected a finite number"),
        ("batchtopk", {"k": True}, "option k is True: expected a finite number"),
        ("batchtopk", {"topk_threshold_lr": 2}, "topk_threshold_lr is 2: above 0 and at most 1"),
        ("topk", {"apply_b_dec_to_input": "maybe"}, "is 'maybe': expected true or false"),
        ("topk", {"dtype": "int8"}, "is 'int8': expected float32 or"),
        ("standard", {"l1_coefficient": "abc"}, "is 'abc': expected a finite number"),
        ("standard", {"l1_coefficient": float("nan")}, "is nan: expected a finite number"),
        ("standard", {"l1_warm_up_steps": 2.5}, "is 2.5: expected a whole number"),
        ("jumprelu", {"target_l0": "few"}, "expected a finite number or none"),
        ("jumprelu", {"jumprelu_sparsity_loss_mode": "square"}, "expected step or tanh or"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        make(name, d_in=D_IN, d_sae=D_SAE, seed=0, **options)


def test_a_value_becomes_its_field_s_type() -> None:
    assert build("standard", l1_warm_up_steps=9.0).cfg.l1_warm_up_steps == 9
    assert build("jumprelu", target_l0=None).cfg.target_l0 is None
    for widths in ([16, 32], (16.0, 32), [16, 32, D_SAE]):
        nested = build("matryoshka_batchtopk", matryoshka_widths=widths)
        assert nested.cfg.matryoshka_widths == [16, 32, D_SAE]


def test_firing_reads_dense_and_sparse_alike() -> None:
    dense = torch.tensor([[0.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
    stored_zero = torch.sparse_coo_tensor(
        torch.tensor([[0, 0, 1, 1], [1, 0, 1, 2]]),
        torch.tensor([2.0, 0.0, -1.0, 3.0]),
        (2, 3),
        check_invariants=True,
    )
    for acts in (dense, stored_zero):
        assert firing.counts(acts).tolist() == [0, 2, 1]
        assert firing.fired(acts).tolist() == [False, True, True]
        assert firing.n_active(acts) == 1.5


def test_draws_inside_seeded_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(4)
    with seeded(3):
        assert torch.equal(torch.rand(4), first)
    assert torch.equal(torch.get_rng_state(), before)
