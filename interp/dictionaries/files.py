"""Dictionaries in sae-lens's directory format: saved whole or not at all, opened with suspicion.

sae = open_dictionary("polyglot/blocks.2.hook_mlp_out")
save_dictionary(sae, Path("dictionary"))
"""

import json
from pathlib import Path
from typing import Any

from sae_lens import SAE, TrainingSAE
from sae_lens.loading.pretrained_sae_loaders import read_sae_components_from_disk
from safetensors.torch import save_file

from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.released import check_released, open_released
from interp.dictionaries.restoring import check_finite, restored, usable_config
from interp.models.load import resolve_device, resolve_dtype
from interp.models.reference import BUNDLED
from interp.models.weight_files import read_layout
from interp.results.atomic import atomic_directory, atomic_file, write_json
from interp.results.errors import BadInput, CorruptFile
from interp.results.hashing import sha256_file

SCHEMA = "interp.dictionary/1"
MARKER = "interp.json"
"""What makes a directory ours to overwrite: the schema, and the checksum of the weights."""
WEIGHTS = "sae_weights.safetensors"
CONFIG = "cfg.json"
_INSIDE = "dictionaries"
_MAX_CONFIG_BYTES = 64 << 20


def open_dictionary(ref: str | Path, *, sae_id: str | None = None, device: str = "cpu") -> SAE[Any]:
    """The dictionary that `ref` names, ready to use: in evaluation mode, its weights frozen.

    `ref` is tried as a bundled name ("polyglot/blocks.2.hook_mlp_out"), as a sae-lens directory,
    and with `sae_id` as a release of sae-lens or a hub id. Of a directory only safetensors are
    read. Raises BadInput where there is none, CorruptFile where it is truncated, altered, not
    finite or of other shapes than its config says, Unsupported for an unknown architecture.
    """
    place = str(resolve_device(device))
    directory = directory_of(str(ref))
    if directory is not None and sae_id is None:
        return _read(directory, place)
    if directory is not None:
        raise BadInput(f"{ref} is a directory here and has no id {sae_id!r}: leave it out")
    check_released(str(ref), sae_id)
    return open_released(str(ref), str(sae_id), device=place)


def save_dictionary(
    sae: SAE[Any], path: Path | str, *, stored_as: str | None = None, overwrite: bool = False
) -> Path:
    """Write a sae-lens directory, whole or not at all; a dictionary in training as it is used.

    Opened, it is equal bit for bit, unless `stored_as` is a smaller format: float16 on disk halves
    the file, and is opened in the dictionary's own format. Raises BadInput where `path` exists
    (unless `overwrite`), CorruptFile for weights that are not finite, or not in that format.
    """
    path = Path(path)
    with atomic_directory(path, replace=overwrite) as directory:
        write_dictionary(sae, directory, stored_as=stored_as)
    return path


def write_dictionary(sae: SAE[Any], directory: Path, *, stored_as: str | None = None) -> None:
    """Put the files of a dictionary into a directory that is there, beside what it holds."""
    state = sae.state_dict()
    if isinstance(sae, TrainingSAE):
        sae.process_state_dict_for_saving_inference(state)
        config = sae.cfg.get_inference_sae_cfg_dict()
    else:
        sae.process_state_dict_for_saving(state)
        config = sae.cfg.to_dict()
    if stored_as is not None:
        state = {name: tensor.to(resolve_dtype(stored_as)) for name, tensor in state.items()}
    check_finite(state, "this dictionary")
    # A directory killed half way has weights and no checksum, never the checksum of others.
    (directory / MARKER).unlink(missing_ok=True)
    with atomic_file(directory / WEIGHTS) as file:
        save_file({name: t.contiguous() for name, t in state.items()}, file)
    write_json(directory / CONFIG, {**config, "device": "cpu"})
    write_json(
        directory / MARKER,
        {"schema": SCHEMA, "weights_sha256": sha256_file(directory / WEIGHTS)},
    )


def read_card(directory: Path) -> DictionaryCard:
    """The card of a sae-lens directory, without its weights."""
    return DictionaryCard.from_config(read_json(directory / CONFIG))


def bundled_dictionaries(model: str | None = None) -> list[str]:
    """Names of the dictionaries that travel with the package, of one model or of all."""
    family = "*" if model is None else model.split("/")[0]
    found = BUNDLED.glob(f"{family}/{_INSIDE}/**/{CONFIG}")
    return sorted(_bundled_name(file.parent) for file in found)


def directory_of(ref: str) -> Path | None:
    """Where a bundled or local dictionary lies; None for a name that is neither."""
    if ref in bundled_dictionaries():
        family, _, site = ref.partition("/")
        return BUNDLED / family / _INSIDE / site
    directory = Path(ref).expanduser()
    return directory if directory.is_dir() else None


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object on disk, its NaN as None; CorruptFile where it is none."""
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise CorruptFile(f"{file} is {file.stat().st_size} bytes: no config is that long")
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except FileNotFoundError as error:
        raise CorruptFile(f"{file} is missing: fetch the dictionary again") from error
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{file} is not JSON ({error}): fetch it again") from error
    if not isinstance(content, dict):
        raise CorruptFile(f"{file} is no JSON object: fetch it again")
    return content


def _bundled_name(directory: Path) -> str:
    family, _, *site = directory.relative_to(BUNDLED).parts
    return "/".join([family, *site])


def _read(directory: Path, device: str) -> SAE[Any]:
    if not (directory / CONFIG).is_file() or not (directory / WEIGHTS).is_file():
        raise BadInput(_not_one(directory))
    config = {"dtype": "float32", **read_json(directory / CONFIG)}
    _check_weights(directory)
    # Older configs say so where tensors were rescaled in the file; sae-lens knows how to read them.
    with usable_config(str(directory)):
        config, state = read_sae_components_from_disk(config, directory / WEIGHTS, device)
    return restored(config, state, source=str(directory), device=device)


def _check_weights(directory: Path) -> None:
    file = directory / WEIGHTS
    read_layout(file)
    marker = read_json(directory / MARKER) if (directory / MARKER).is_file() else {}
    if marker.get("schema") == SCHEMA and marker.get("weights_sha256") != sha256_file(file):
        raise CorruptFile(
            f"{file} was altered, its SHA-256 is not that of {MARKER}: fetch it again, or delete "
            f"{MARKER} if you altered it"
        )


def _not_one(directory: Path) -> str:
    inside = sorted(file.parent.name for file in directory.glob(f"*/{CONFIG}"))
    if inside:
        return f"{directory} is not a dictionary but holds {', '.join(inside)}: open one of them"
    if any((directory / name).exists() for name in ("ae.pt", "sae.safetensors", "config.yaml")):
        return (
            f"{directory} is in another format: `interp dictionary import {directory} --out DIR` "
            "makes a dictionary of it"
        )
    return f"{directory} is no dictionary: it lacks {CONFIG} or {WEIGHTS}"
