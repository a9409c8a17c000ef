"""The optimizer step clips and updates as torch's own, and refuses a state that does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from sae_lens.config import SAETrainerConfig
from safetensors.torch import load_file, save_file

from interp.dictionaries.architectures import make
from interp.dictionaries.sparse.ranks import OneProcess
from interp.dictionaries.step import TrainStep
from interp.dictionaries.step.optimizer import ClippedAdam
from interp.dictionaries.step.state import TrainState
from interp.results.errors import CorruptFile, Unsupported

ROWS = 32


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_clipping_inside_adam_is_clipping_before_adam(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [torch.nn.Parameter(torch.randn(5, 4, generator=generator)) for _ in range(3)]
    other = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    ours = ClippedAdam(mine, lr=1e-2, betas=(0.9, 0.999))
    theirs = torch.optim.Adam(other, lr=1e-2)
    for _ in range(5):
        for a, b in zip(mine[:2], other[:2], strict=True):  # the third has no gradient
            a.grad = size * torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        norm = torch.nn.utils.clip_grad_norm_(other, 1.0)
        torch.testing.assert_close(ours.step(), norm)
        theirs.step()
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
            assert a.grad is None


def step(k: int = 4, d_sae: int = 40) -> TrainStep:
    sae = make("batchtopk", d_in=8, d_sae=d_sae, seed=0, k=k)
    config = SAETrainerConfig(
        total_training_samples=ROWS * 100,
        train_batch_size_samples=ROWS,
        lr_end=3e-4,
        dead_feature_window=2,
        feature_sampling_window=4,
    )
    return TrainStep(sae, config)


def rows(seed: int) -> torch.Tensor:
    return torch.randn(ROWS, 8, generator=torch.Generator().manual_seed(seed))


def test_a_state_goes_through_safetensors_and_json(tmp_path: Path) -> None:
    first = step()
    for number in range(3):
        first.step(rows(number))
    tensors, numbers = first.state_dict()
    save_file(tensors, tmp_path / "state.safetensors")
    state = TrainState(load_file(tmp_path / "state.safetensors"), json.loads(json.dumps(numbers)))
    second = step()
    second.load_state_dict(state)
    a, b = first.step(rows(3)), second.step(rows(3))
    assert torch.equal(a.losses["loss"], b.losses["loss"])
    for key, tensor in first.state_dict().tensors.items():
        assert torch.equal(second.state_dict().tensors[key], tensor), key


def test_a_state_is_a_copy() -> None:
    one = step()
    one.step(rows(0))
    state = one.state_dict()
    kept = {key: tensor.clone() for key, tensor in state.tensors.items()}
    one.step(rows(1))
    assert all(torch.equal(state.tensors[key], tensor) for key, tensor in kept.items())


def test_a_state_that_does_not_fit_is_refused() -> None:
    one = step()
    one.step(rows(0))
    state = one.state_dict()
    with pytest.raises(CorruptFile, match=r"has shape \(40, 8\), expected \(48, 8\)"):
        step(d_sae=48).load_state_dict(state)
    spoiled = {**state.tensors, "adam.W_dec.exp_avg": torch.full((40, 8), torch.nan)}
    with pytest.raises(CorruptFile, match=r"NaN or infinity in adam\.W_dec\.exp_avg"):
        step().load_state_dict(TrainState(spoiled, state.numbers))
    fewer = {key: t for key, t in state.tensors.items() if key != "sae.b_enc"}
    with pytest.raises(CorruptFile, match=r"sae\.b_enc is missing"):
        step().load_state_dict(TrainState(fewer, state.numbers))
    no_adam = {key: t for key, t in state.tensors.items() if not key.startswith("adam.W_enc")}
    with pytest.raises(CorruptFile, match=r"adam\.W_enc"):
        step().load_state_dict(TrainState(no_adam, state.numbers))
    with pytest.raises(CorruptFile, match="lacks .*n_steps"):
        step().load_state_dict(TrainState(state.tensors, {}))


def test_the_dead_are_those_silent_for_longer_than_the_window() -> None:
    one = step()
    with torch.no_grad():
        dict(one.sae.named_parameters())["b_enc"][:10] = -50.0
    silent = [int(one.step(rows(number)).n_dead) for number in range(4)]
    assert silent[:2] == [0, 0]
    assert one.dead[:10].all()
    assert int(one.dead.sum()) == silent[-1] >= 10


def test_density_counts_rows_of_the_current_window() -> None:
    one = step()
    found = [one.step(rows(number)) for number in range(6)]
    assert one.n_frac_active_samples == 2 * ROWS
    expected = sum(float(result.n_active) for result in found[4:]) / 2
    assert float(one.density.sum()) == pytest.approx(expected)
    assert one.n_samples == 6 * ROWS


class OneOfTwo(OneProcess):
    """This process's place beside another that holds as many rows."""

    def n_rows_global(self, n_rows: int) -> int:
        return 2 * n_rows


def config() -> SAETrainerConfig:
    return SAETrainerConfig(total_training_samples=10 * ROWS, train_batch_size_samples=ROWS)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("batchtopk", {"dtype": "bfloat16"}, "batchtopk with dtype=bfloat16"),
        ("batchtopk", {"normalize_activations": "layer_norm"}, "normalize_activations=layer_norm"),
        ("batchtopk", {"normalize_activations": "constant_norm_rescale"}, "constant_norm_rescale"),
        ("transcoder", {"dtype": "float16"}, "transcoder with dtype=float16"),
        ("matryoshka_batchtopk", {"use_matryoshka_aux_loss": True}, "use_matryoshka_aux_loss=true"),
    ],
)
def test_a_selection_over_the_batch_is_never_made_by_each_process_alone(
    name: str, options: dict[str, Any], named: str
) -> None:
    sae = make(name, d_in=8, d_sae=40, seed=0, k=4, **options)
    TrainStep(sae, config())
    with pytest.raises(Unsupported, match=f"{named}.* one process, or without"):
        TrainStep(sae, config(), ranks=OneOfTwo())


def test_a_hook_hung_in_later_does_not_make_the_selection_local() -> None:
    sae = make("batchtopk", d_in=8, d_sae=40, seed=0, k=4)
    step = TrainStep(sae, config(), ranks=OneOfTwo())
    sae.hook_sae_acts_post.add_hook(lambda tensor, hook: tensor)
    with pytest.raises(Unsupported, match="a hook on the dictionary"):
        step.step(torch.ones(ROWS, 8))


@pytest.mark.parametrize("name", ["topk", "standard"])
def test_what_selects_within_a_row_is_shared_in_half_precision_too(name: str) -> None:
    sae = make(name, d_in=8, d_sae=40, seed=0, dtype="bfloat16")
    TrainStep(sae, config(), ranks=OneOfTwo()).step(torch.ones(ROWS, 8, dtype=torch.bfloat16))
