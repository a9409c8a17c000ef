"""Dictionaries on disk: saved whole, opened equal, and refused in one line where they are not."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hatchling.builders.wheel import WheelBuilder
from sae_lens import SAE
from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY
from safetensors.torch import load_file, save_file

import interp.dictionaries.selecting  # noqa: F401  # registers its architectures
from interp.dictionaries.files import (
    CONFIG,
    MARKER,
    WEIGHTS,
    bundled_dictionaries,
    open_dictionary,
    save_dictionary,
)
from interp.models.reference import BUNDLED
from interp.results.errors import BadInput, CorruptFile, InterpError, Unsupported
from tests.dictionaries.making import D_SAE, in_training, made, rows

IN_TRAINING = sorted(name for name in SAE_TRAINING_CLASS_REGISTRY if "transcoder" not in name)
MB = 1_000_000


@pytest.mark.parametrize("architecture", sorted(SAE_CLASS_REGISTRY))
def test_an_opened_dictionary_computes_what_the_saved_one_did(
    architecture: str, tmp_path: Path
) -> None:
    sae = made(architecture)
    back = open_dictionary(save_dictionary(sae, tmp_path / "dictionary"))
    assert type(back) is type(sae)
    assert torch.equal(back.encode(rows()), sae.encode(rows()))
    assert torch.equal(back(rows()), sae(rows()))
    assert not back.training and not any(p.requires_grad for p in back.parameters())


@pytest.mark.parametrize("architecture", IN_TRAINING)
def test_a_dictionary_in_training_is_saved_as_it_is_used(architecture: str, tmp_path: Path) -> None:
    sae = in_training(architecture)
    once = open_dictionary(save_dictionary(sae, tmp_path / "once"))
    twice = open_dictionary(save_dictionary(once, tmp_path / "twice"))
    assert torch.equal(once(rows()), twice(rows()))
    assert once.cfg.metadata.training_architecture == architecture
    if "batchtopk" in architecture:
        assert once.cfg.architecture() == "jumprelu"
    else:
        assert torch.allclose(once(rows()), sae(rows()), atol=1e-5)


@pytest.mark.parametrize("architecture", ["jumprelu", "topk_skip_transcoder", "groupmax"])
def test_sae_lens_opens_what_we_save(architecture: str, tmp_path: Path) -> None:
    sae = made(architecture)
    back = SAE.load_from_disk(save_dictionary(sae, tmp_path / "dictionary"))
    assert torch.equal(back(rows()), sae(rows()))


def test_we_open_what_sae_lens_saves(tmp_path: Path) -> None:
    sae = made("gated")
    sae.save_model(tmp_path)
    assert torch.equal(open_dictionary(tmp_path)(rows()), sae(rows()))


def test_what_lies_there_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    place = save_dictionary(made("standard", seed=0), tmp_path / "dictionary")
    with pytest.raises(BadInput, match="exists"):
        save_dictionary(made("standard", seed=1), place)
    save_dictionary(made("standard", seed=1), place, overwrite=True)
    assert torch.equal(open_dictionary(place)(rows()), made("standard", seed=1)(rows()))


def test_weights_stored_in_half_precision_open_in_the_dictionarys_own(tmp_path: Path) -> None:
    sae = made("standard")
    whole = save_dictionary(sae, tmp_path / "whole") / WEIGHTS
    place = save_dictionary(sae, tmp_path / "half", stored_as="float16")
    assert (place / WEIGHTS).stat().st_size < 0.7 * whole.stat().st_size
    for back in (open_dictionary(place), SAE.load_from_disk(place)):
        assert back.W_dec.dtype == torch.float32
        assert torch.equal(back.W_dec, sae.W_dec.half().float())


def test_weights_that_half_precision_cannot_hold_are_not_stored_in_it(tmp_path: Path) -> None:
    sae = made("standard")
    sae.b_dec.data[0] = 1e6
    with pytest.raises(CorruptFile, match="b_dec"):
        save_dictionary(sae, tmp_path / "half", stored_as="float16")


def test_options_that_a_model_is_best_loaded_with_are_no_warning(tmp_path: Path) -> None:
    sae = made("standard")
    sae.cfg.metadata.model_from_pretrained_kwargs = {"fold_ln": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = open_dictionary(save_dictionary(sae, tmp_path / "dictionary"))
    assert back.cfg.metadata.model_from_pretrained_kwargs == {"fold_ln": False}


def _config(place: Path, **changes: object) -> None:
    content = json.loads((place / CONFIG).read_text())
    (place / CONFIG).write_text(json.dumps({**content, **changes}))


def _weights(place: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(place / WEIGHTS)
    change(tensors)
    save_file(tensors, place / WEIGHTS)
    (place / MARKER).unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], type[InterpError], str]] = {
    "truncated weights": (
        lambda place: (place / WEIGHTS).write_bytes((place / WEIGHTS).read_bytes()[:-5]),
        CorruptFile,
        "truncated",
    ),
    "an empty file of weights": (
        lambda place: (place / WEIGHTS).write_bytes(b""),
        CorruptFile,
        "truncated",
    ),
    "a changed byte": (
        lambda place: (place / WEIGHTS).write_bytes((place / WEIGHTS).read_bytes()[:-1] + b"\0"),
        CorruptFile,
        "was altered",
    ),
    "no weights": (lambda place: (place / WEIGHTS).unlink(), BadInput, "lacks"),
    "no config": (lambda place: (place / CONFIG).unlink(), BadInput, "lacks"),
    "a config that is not JSON": (
        lambda place: (place / CONFIG).write_text('{"d_in": '),
        CorruptFile,
        "not JSON",
    ),
    "a config that is a list": (
        lambda place: (place / CONFIG).write_text("[]"),
        CorruptFile,
        "no JSON object",
    ),
    "an unknown architecture": (
        lambda place: _config(place, architecture="telepathy"),
        Unsupported,
        "'telepathy'.*known are .*topk",
    ),
    "an architecture that is a list": (
        lambda place: _config(place, architecture=["topk"]),
        Unsupported,
        "known are",
    ),
    "metadata that are no object": (
        lambda place: _config(place, metadata="none"),
        CorruptFile,
        "cannot be used",
    ),
    "an architecture in training": (
        lambda place: _config(place, architecture="batchtopk"),
        Unsupported,
        "in training",
    ),
    "another width": (lambda place: _config(place, d_sae=23), CorruptFile, "24.* 23"),
    "a width that is no number": (
        lambda place: _config(place, d_in="wide"),
        CorruptFile,
        "cannot be used",
    ),
    "more k than features": (lambda place: _config(place, k=25), CorruptFile, "25 of 24"),
    "an unknown number format": (
        lambda place: _config(place, dtype="float7"),
        CorruptFile,
        "float7",
    ),
    "a missing tensor": (
        lambda place: _weights(place, lambda tensors: tensors.pop("b_enc")),
        CorruptFile,
        "lacks b_enc",
    ),
    "another tensor": (
        lambda place: _weights(place, lambda tensors: tensors.update(b_two=torch.zeros(2))),
        CorruptFile,
        "has b_two beside",
    ),
    "NaN": (
        lambda place: _weights(place, lambda tensors: tensors["W_dec"][0].fill_(torch.nan)),
        CorruptFile,
        "6 of the 144 entries of W_dec are NaN",
    ),
    "infinity": (
        lambda place: _weights(place, lambda tensors: tensors["b_enc"][:2].fill_(torch.inf)),
        CorruptFile,
        "2 of the 24 entries of b_enc",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_broken_is_one_clear_error(fault: str, tmp_path: Path) -> None:
    place = save_dictionary(made("topk"), tmp_path / "dictionary")
    break_it, kind, message = BROKEN[fault]
    break_it(place)
    with pytest.raises(kind, match=message) as raised:
        open_dictionary(place)
    assert "\n" not in str(raised.value)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    sae = made("standard")
    sae.b_dec.data[0] = torch.nan
    with pytest.raises(CorruptFile, match="b_dec"):
        save_dictionary(sae, tmp_path / "dictionary")
    assert not (tmp_path / "dictionary").exists()


def test_a_directory_of_several_names_them(tmp_path: Path) -> None:
    save_dictionary(made("standard"), tmp_path / "one")
    save_dictionary(made("standard"), tmp_path / "two")
    with pytest.raises(BadInput, match="holds one, two"):
        open_dictionary(tmp_path)


def test_a_directory_of_another_tool_names_the_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "ae.pt").touch()
    with pytest.raises(BadInput, match="interp dictionary import"):
        open_dictionary(tmp_path)


NAMES: dict[str, tuple[str, str | None, str]] = {
    "no such thing": ("no-such-dictionary", None, "no directory here.*no release"),
    "a release nearly": ("gpt2-small-res-jp", "a", "near are .*gpt2-small-res-jb"),
    "a release without an id": ("gpt2-small-res-jb", None, "--sae-id.*blocks.0.hook_resid_pre"),
    "a release with another id": ("gpt2-small-res-jb", "blocks.8.hook_resid_prex", "near are"),
    "a hub id without an id": ("owner/name", None, "--sae-id"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_is_no_dictionary_says_what_is_near(case: str) -> None:
    ref, sae_id, message = NAMES[case]
    with pytest.raises(BadInput, match=message):
        open_dictionary(ref, sae_id=sae_id)


@pytest.mark.parametrize(
    ("ref", "sae_id"),
    [("gpt2-small-res-jb", "blocks.8.hook_resid_pre"), ("owner/no-such-saes", "layer_1")],
)
def test_without_the_network_a_release_is_one_line(
    ref: str, sae_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match="hub cannot be reached") as raised:
        open_dictionary(ref, sae_id=sae_id)
    assert "\n" not in str(raised.value)


def test_an_id_for_a_directory_is_refused(tmp_path: Path) -> None:
    place = save_dictionary(made("standard"), tmp_path / "dictionary")
    with pytest.raises(BadInput, match="leave it out"):
        open_dictionary(place, sae_id="a")


def test_every_bundled_dictionary_opens_by_its_name_and_is_of_its_site() -> None:
    for name in bundled_dictionaries():
        sae = open_dictionary(name)
        assert name.startswith("polyglot/"), name
        assert sae.cfg.metadata.hook_name is not None, name
    assert bundled_dictionaries("no-such-model") == []
    assert bundled_dictionaries("polyglot/base") == bundled_dictionaries("polyglot")


def test_what_is_bundled_stays_small() -> None:
    sizes = {file: file.stat().st_size for file in BUNDLED.rglob("*") if file.is_file()}
    assert max(sizes.values()) <= 2 * MB, max(sizes, key=sizes.__getitem__)
    assert sum(sizes.values()) <= 40 * MB


def test_the_wheel_carries_everything_that_is_bundled() -> None:
    root = BUNDLED.parents[2]
    carried = {file.relative_path for file in WheelBuilder(str(root)).recurse_included_files()}
    bundled = (file.relative_to(root) for file in BUNDLED.rglob("*") if file.is_file())
    assert {file.as_posix() for file in bundled if "__pycache__" not in file.parts} <= carried


def test_the_widths_of_the_tests_are_not_all_equal() -> None:
    assert len(set(made("transcoder").W_dec.shape)) == 2 and made("topk").W_enc.shape[1] == D_SAE
