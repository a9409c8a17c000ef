"""Directories from strangers: truncated, inconsistent, unknown, or holding more than tensors."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from interp.dictionaries.exchange.importing import import_dictionary
from interp.results.errors import BadInput, CorruptFile, InterpError, Unsupported

DATA = Path(__file__).parent / "data"


def _json(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        content = json.loads((place / name).read_text())
        change(content)
        (place / name).write_text(json.dumps(content))

    return edit


def _yaml(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        content = yaml.safe_load((place / "config.yaml").read_text())
        change(content)
        (place / "config.yaml").write_text(yaml.safe_dump(content))

    return edit


def _tensors(
    name: str, change: Callable[[dict[str, torch.Tensor]], object]
) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        tensors = load_file(place / name)
        change(tensors)
        save_file(tensors, place / name)

    return edit


def _pickled(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        tensors = torch.load(place / "ae.pt", weights_only=True)  # noqa: TID251  # as tools do
        change(tensors)
        torch.save(tensors, place / "ae.pt")

    return edit


def _cut(name: str) -> Callable[[Path], int]:
    return lambda place: (place / name).write_bytes((place / name).read_bytes()[:-100])


class Payload:
    """A pickle that runs a call when it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path.touch, (Path("ran"),))  # pyright: ignore[reportReturnType]


TOPK = "dictionary_learning/AutoEncoderTopK"
BATCH = "dictionary_learning/BatchTopKSAE"
CODER = "sparsify/topk/layers.3"
SKIP = "sparsify/skip/layers.3.mlp"
SET = "circuit_tracer/jumprelu"
FAULTS: dict[str, tuple[str, Callable[[Path], Any], type[InterpError], str]] = {
    "a truncated pickle": (TOPK, _cut("ae.pt"), CorruptFile, "truncated"),
    "an empty pickle": (TOPK, lambda p: (p / "ae.pt").write_bytes(b""), CorruptFile, "truncated"),
    "a pickle that runs": (
        TOPK,
        lambda p: (p / "ae.pt").write_bytes(pickle.dumps(Payload(), protocol=2)),
        CorruptFile,
        "more than tensors",
    ),
    "a pickle of a list": (
        TOPK,
        lambda p: torch.save([1, 2], p / "ae.pt"),
        CorruptFile,
        "pickled list",
    ),
    "a class of another tool": (
        TOPK,
        _json("config.json", lambda c: c["trainer"].update(dict_class="CrossCoder")),
        Unsupported,
        "'CrossCoder'.*known are",
    ),
    "no trainer": (TOPK, _json("config.json", lambda c: c.clear()), CorruptFile, "no trainer"),
    "two different k": (
        TOPK,
        _json("config.json", lambda c: c["trainer"].update(k=5)),
        CorruptFile,
        "k = 3, its config 5",
    ),
    "a missing threshold": (
        BATCH,
        _pickled(lambda t: t.pop("threshold")),
        CorruptFile,
        "threshold",
    ),
    "NaN in a pickle": (
        BATCH,
        _pickled(lambda t: t["b_dec"].fill_(torch.nan)),
        CorruptFile,
        "b_dec are NaN",
    ),
    "a decoder of another width": (
        BATCH,
        _pickled(lambda t: t.update({"decoder.weight": torch.zeros(6, 11)})),
        CorruptFile,
        "W_dec is 11 by 6",
    ),
    "truncated safetensors": (CODER, _cut("sae.safetensors"), CorruptFile, "truncated"),
    "an activation that nobody knows": (
        CODER,
        _json("cfg.json", lambda c: c.update(activation="sparsemax")),
        Unsupported,
        "'sparsemax'",
    ),
    "signed features": (
        CODER,
        _json("cfg.json", lambda c: c.update(signed=True)),
        Unsupported,
        "signed",
    ),
    "a skip connection without a transcoder": (
        SKIP,
        _json("cfg.json", lambda c: c.update(transcode=False)),
        Unsupported,
        "skip connection",
    ),
    "no width": (CODER, _json("cfg.json", lambda c: c.pop("d_in")), CorruptFile, "d_in"),
    "another width": (
        CODER,
        _json("cfg.json", lambda c: c.update(num_latents=13)),
        CorruptFile,
        "W_dec is 12 by 6, its config says 13 by 6",
    ),
    "a missing skip": (
        SKIP,
        _tensors("sae.safetensors", lambda t: t.pop("W_skip")),
        CorruptFile,
        "no tensor 'W_skip'",
    ),
    "a cross-layer transcoder": (
        SET,
        _yaml(lambda c: c.update(model_kind="cross_layer_transcoder")),
        Unsupported,
        "cross_layer_transcoder",
    ),
    "a config that is no YAML": (
        SET,
        lambda p: (p / "config.yaml").write_text("a: [b"),
        CorruptFile,
        "not YAML",
    ),
    "a hook that leaves the directory": (
        SET,
        _yaml(lambda c: c.update(feature_input_hook="../../up")),
        CorruptFile,
        "names no hooks",
    ),
    "files on the hub": (
        SET,
        _yaml(lambda c: c.update(transcoders=["hf://owner/name/layer_0.safetensors"])),
        Unsupported,
        "only files in the directory",
    ),
    "files elsewhere": (
        SET,
        _yaml(lambda c: c.update(transcoders=["../layer_0.safetensors"])),
        Unsupported,
        "only files in the directory",
    ),
    "a missing layer": (
        SET,
        lambda p: (p / "layer_0.safetensors").rename(p / "layer_7.safetensors"),
        CorruptFile,
        "layer_0.safetensors is missing",
    ),
    "thresholds below zero": (
        SET,
        _tensors("layer_1.safetensors", lambda t: t["activation_function.threshold"][:2].fill_(-1)),
        Unsupported,
        "2 thresholds below zero",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_error_and_leaves_nothing(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, break_it, kind, message = FAULTS[fault]
    monkeypatch.chdir(tmp_path)
    place = Path(shutil.copytree(DATA / source, tmp_path / Path(source).name))
    break_it(place)
    with pytest.raises(kind, match=message) as raised:
        import_dictionary(place, tmp_path / "here")
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_what_no_tool_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="of no format among"):
        import_dictionary(tmp_path, tmp_path / "here")
    with pytest.raises(BadInput, match="no directory"):
        import_dictionary(tmp_path / "nothing", tmp_path / "here")
    with pytest.raises(BadInput, match="no format 'onnx': known are auto"):
        import_dictionary(tmp_path, tmp_path / "here", format="onnx")


def test_several_below_one_directory_come_in_by_name(tmp_path: Path) -> None:
    written = import_dictionary(DATA / "dictionary_learning", tmp_path / "here")
    assert [place.name for place in written] == sorted(
        path.name for path in (DATA / "dictionary_learning").iterdir()
    )
    with pytest.raises(BadInput, match="one at a time"):
        import_dictionary(DATA / "dictionary_learning", tmp_path / "there", site="blocks.0.hook_z")
    import_dictionary(DATA / "dictionary_learning", tmp_path / "here", overwrite=True)


def test_a_directory_of_two_formats_asks_which(tmp_path: Path) -> None:
    shutil.copytree(DATA / TOPK, tmp_path / "in" / "one")
    shutil.copytree(DATA / CODER, tmp_path / "in" / "layers.3")
    with pytest.raises(BadInput, match="choose by --format"):
        import_dictionary(tmp_path / "in", tmp_path / "here")
    (place,) = import_dictionary(tmp_path / "in", tmp_path / "here", format="sparsify")
    assert place == tmp_path / "here"
