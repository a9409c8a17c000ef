"""A model whose weights are drawn again: what an analysis finds where nothing was learnt.

2501.17727 finds that sparse autoencoders look as good on such models by many measures, so a
measure of whatever kind means something only beside its value there.
"""

import hashlib
import shutil
from pathlib import Path

import torch
from jaxtyping import Shaped
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from interp.models.hub import directory_of
from interp.models.identity import is_vocabulary
from interp.results.atomic import atomic_directory
from interp.results.errors import BadInput

_WEIGHTS = "*.safetensors"
_TOLD_OF_THE_MODEL = (".json", ".txt", ".model", ".jinja", ".py")
_TOLD_OF_THE_WEIGHTS = ("card.json", "training.json", "interp.json", "trainer_state.json")


def randomised_model(
    model_dir: str | Path,
    out: Path,
    seed: int,
    *,
    keep_embeddings: bool = False,
    overwrite: bool = False,
) -> Path:
    """A Hugging Face directory of the same model with every weight drawn again, in its tokenizer.

    Each tensor becomes independent normal draws with the mean and the standard deviation of its
    own entries, so norms of activations stay near what they were; `keep_embeddings` leaves the
    tables of tokens as learnt. Nothing but moments of a tensor survives. Raises BadInput where
    `out` exists (unless `overwrite`) or there are no safetensors.
    """
    directory = directory_of(model_dir)
    shards = sorted(directory.glob(_WEIGHTS))
    if not shards:
        raise BadInput(f"{directory} holds no {_WEIGHTS}: there are no weights to draw again")
    with atomic_directory(out, replace=overwrite) as target:
        for file in sorted(directory.iterdir()):
            if file.suffix in _TOLD_OF_THE_MODEL and file.name not in _TOLD_OF_THE_WEIGHTS:
                shutil.copy2(file, target / file.name)
        for shard in shards:
            _redraw_shard(shard, target / shard.name, keep_embeddings, seed)
    return out


def redrawn(tensor: Shaped[Tensor, "..."], *, generator: torch.Generator) -> Shaped[Tensor, "..."]:
    """Normal draws with the mean and standard deviation of `tensor`'s entries, in its type.

    Integers stay, and so does a tensor of one entry.
    """
    if not tensor.is_floating_point() or tensor.numel() < 2:
        return tensor.clone()
    entries = tensor.double()
    draws = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
    return (draws * entries.std() + entries.mean()).to(tensor.dtype)


def _redraw_shard(source: Path, target: Path, keep_embeddings: bool, seed: int) -> None:
    tensors: dict[str, Tensor] = {}
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            kept = keep_embeddings and is_vocabulary(name)
            tensors[name] = tensor if kept else redrawn(tensor, generator=_of(seed, name))
    save_file(tensors, target, metadata=metadata)


def _of(seed: int, name: str) -> torch.Generator:
    # One for each tensor: the draws do not depend on how the files are cut, and they are not the
    # stream from which a model was initialised under the same seed.
    digest = hashlib.sha256(f"interp.randomised/{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
