"""Which weights these are: one hash over the tensors of a dictionary."""

import torch
from torch import nn

from interp.models.identity import root_of, tensor_digest

_PIECE = 1 << 22


def weights_sha256(sae: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of every tensor of the state, in order of name.

    Of the weights as they are in memory: the same on every device, another after an edit.
    """
    digests = {}
    for name, tensor in sae.state_dict().items():
        content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        pieces = (piece.numpy().tobytes() for piece in content.split(_PIECE))
        digests[name] = tensor_digest(name, str(tensor.dtype), tensor.shape, pieces)
    return root_of(digests)
