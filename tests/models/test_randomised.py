"""A model drawn again: its moments stay, its weights do not, and it opens as a model."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interp.models.load import load
from interp.models.randomised import randomised_model
from interp.results.errors import BadInput


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


@pytest.mark.parametrize("keep", [False, True])
def test_every_tensor_keeps_its_moments_and_nothing_else(model_directory, tmp_path, keep) -> None:
    source = model_directory("llama")
    out = randomised_model(source, tmp_path / "out", 0, keep_embeddings=keep)
    old, new = weights(source), weights(out)
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        assert new[name].shape == tensor.shape
        assert new[name].dtype == tensor.dtype
        if keep and ("embed" in name or "lm_head" in name):
            assert torch.equal(new[name], tensor)
            continue
        n = tensor.numel()
        error = 5 * float(tensor.std()) / n**0.5
        assert float(new[name].mean()) == pytest.approx(float(tensor.mean()), abs=error)
        both = torch.stack([tensor.flatten(), new[name].flatten()])
        assert abs(float(torch.corrcoef(both)[0, 1])) < 5 / n**0.5
        if n > 500:
            assert float(new[name].std()) == pytest.approx(float(tensor.std()), rel=0.2)


def test_the_seed_decides_the_bytes_and_the_model_runs(model_directory, tmp_path: Path) -> None:
    source = model_directory("gpt2")
    one, same, other = (
        randomised_model(source, tmp_path / name, seed) for name, seed in
        (("one", 0), ("same", 0), ("other", 1))
    )  # fmt: skip
    files = [(path / "model.safetensors").read_bytes() for path in (one, same, other)]
    assert files[0] == files[1] != files[2]
    assert load(one, device="cpu")(torch.arange(4, 9)[None]).isfinite().all()


def test_a_place_that_is_taken_is_refused(model_directory, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput):
        randomised_model(model_directory("gpt2"), tmp_path / "out", 0)
