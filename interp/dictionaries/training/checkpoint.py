"""Checkpoints of a run: safetensors and JSON, whole or not at all, checked before they are used."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.dictionaries.step.state import TrainState
from interp.dictionaries.training.rows import Position
from interp.results.atomic import atomic_directory, write_json
from interp.results.errors import CorruptFile
from interp.results.hashing import sha256_file, sha256_json

SCHEMA = "interp.dictionary-checkpoint/1"
_HEADER = "header.json"
_NAME = re.compile(r"checkpoint-(\d{9,})")
_REMEDY = "delete that directory to go on from an earlier one, or begin anew with --overwrite"


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands: everything that its next step depends on."""

    step: int
    position: Position
    random: dict[str, Tensor]
    """States of torch's global generators."""
    log_bytes: dict[str, int]
    """Length of each dictionary's log at this step."""
    states: dict[str, TrainState]


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside the others, then delete the older ones.

    A kill at any moment leaves at least one whole checkpoint.
    """
    path = directory / f"checkpoint-{checkpoint.step:09d}"
    files = {f"state-{i}": state.tensors for i, state in enumerate(checkpoint.states.values())}
    with atomic_directory(path) as temporary:
        for name, tensors in {**files, "random": checkpoint.random}.items():
            cpu = {key: tensor.cpu() for key, tensor in tensors.items()}
            save_file(cpu, temporary / f"{name}.safetensors")
        content = {
            "schema": SCHEMA,
            "step": checkpoint.step,
            "position": list(checkpoint.position),
            "log_bytes": checkpoint.log_bytes,
            "numbers": {name: state.numbers for name, state in checkpoint.states.items()},
            "sha256": {f.name: sha256_file(f) for f in sorted(temporary.glob("*.safetensors"))},
        }
        # Through JSON and back, so that the checksum is of what a reader will have.
        content = json.loads(json.dumps(content, allow_nan=False))
        write_json(temporary / _HEADER, {**content, "check": sha256_json(content)})
    for older in _checkpoints(directory)[:-1]:
        shutil.rmtree(older)
    return path


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint in `directory`; None without one, CorruptFile if it was altered."""
    found = _checkpoints(directory)
    return _read(found[-1]) if found else None


def _checkpoints(directory: Path) -> list[Path]:
    named = [path for path in directory.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: int(path.name.split("-")[1]))


def _read(path: Path) -> Checkpoint:
    try:
        content = json.loads((path / _HEADER).read_text(encoding="utf-8"))
        check = content.pop("check")
        if check != sha256_json(content):
            raise CorruptFile(f"{path / _HEADER} was altered: {_REMEDY}")
        for name, digest in content["sha256"].items():
            if sha256_file(path / name) != digest:
                raise CorruptFile(f"{path / name} was altered: {_REMEDY}")
        return _parsed(path, content)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        raise CorruptFile(f"{path} is no whole checkpoint ({error}): {_REMEDY}") from error


def _parsed(path: Path, content: Mapping[str, object]) -> Checkpoint:
    numbers, position = content["numbers"], content["position"]
    assert isinstance(numbers, dict) and isinstance(position, list)
    states = {
        name: TrainState(load_file(path / f"state-{i}.safetensors"), held)
        for i, (name, held) in enumerate(numbers.items())
    }
    return Checkpoint(
        step=content["step"],  # type: ignore[arg-type]
        position=Position(*position),
        random=load_file(path / "random.safetensors"),
        log_bytes=content["log_bytes"],  # type: ignore[arg-type]
        states=states,
    )
