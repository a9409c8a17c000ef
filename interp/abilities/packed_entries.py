"""PackedEntries: the chosen entries of a model, and nothing else, for an optimizer."""

import torch
from jaxtyping import Bool
from torch import Tensor, nn


class PackedEntries:
    """The chosen entries of a model as short parameters of their own.

    `gather` takes their gradients out of the model's, `scatter` writes their values back; nothing
    else is ever written, so weight decay and rounding cannot reach the complement. Values are
    float32 masters whatever the model's number format: in bfloat16 a step below half a unit in the
    last place would vanish. Under DistributedDataParallel gradients are averaged before `gather`,
    and every rank holds the same entries.
    """

    def __init__(
        self, tensors: dict[str, nn.Parameter], masks: dict[str, Bool[Tensor, "..."]]
    ) -> None:
        """Tensors without a mask, or with an empty one, are frozen (`requires_grad` False)."""
        self._packed: list[tuple[nn.Parameter, Tensor, nn.Parameter]] = []
        for name, tensor in tensors.items():
            chosen = masks[name].flatten().nonzero().flatten() if name in masks else torch.empty(0)
            tensor.requires_grad_(chosen.numel() > 0)
            if chosen.numel():
                index = chosen.to(tensor.device)
                values = tensor.detach().flatten()[index].float()
                self._packed.append((tensor, index, nn.Parameter(values)))

    def parameters(self) -> list[nn.Parameter]:
        """The chosen entries, one parameter of one axis for every tensor that has some."""
        return [packed for _, _, packed in self._packed]

    def gather(self) -> None:
        """Take the gradients of the chosen entries out of the model's, and clear those."""
        for tensor, index, packed in self._packed:
            if tensor.grad is not None:
                packed.grad = tensor.grad.flatten()[index].to(packed.dtype)
            tensor.grad = None

    def scatter(self) -> None:
        """Write the chosen entries' values into the model."""
        with torch.no_grad():
            for tensor, index, packed in self._packed:
                tensor.view(-1).index_copy_(0, index, packed.to(tensor.dtype))
