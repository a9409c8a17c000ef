"""The hash of a model's weights as they are in memory now."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.models.identity import model_hash, root_of, tensor_digest
from interp.models.load import reference_of, unedited

_PIECE = 1 << 22


def weights_hash(model: TransformerBridge) -> str:
    """Root over every parameter and buffer, by name; a tensor under two names is read once.

    Unlike the hash of the directory it came from, it sees an edit in memory and the dtype.
    """
    tensors: dict[tuple[int, tuple[int, ...]], tuple[str, Tensor]] = {}
    for name, tensor in sorted(model.original_model.state_dict().items()):
        tensors.setdefault((tensor.data_ptr(), tuple(tensor.shape)), (name, tensor))
    with ThreadPoolExecutor(max_workers=2) as pool:
        return root_of(dict(pool.map(_digest, tensors.values())))


def in_memory_hash(model: TransformerBridge) -> str:
    """The model hash as a capture records it: of the files where the weights are still theirs."""
    reference = reference_of(model)
    directory = reference.path if reference is not None and unedited(model) else None
    return weights_hash(model) if directory is None else model_hash(directory)


def _digest(named: tuple[str, Tensor]) -> tuple[str, str]:
    name, tensor = named
    content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    pieces = (piece.numpy().tobytes() for piece in content.split(_PIECE))
    return name, tensor_digest(name, str(tensor.dtype), tensor.shape, pieces)
