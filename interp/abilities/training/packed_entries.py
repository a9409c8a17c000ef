"""PackedEntries: the chosen entries of a model, and nothing else, for an optimizer."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class _Packed(NamedTuple):
    tensor: nn.Parameter
    index: Tensor | None
    """Flat positions of the chosen entries; None for all."""
    values: nn.Parameter


class PackedEntries:
    """The chosen entries of a model as short parameters of their own.

    `gather` takes their gradients out of the model's, `scatter` writes their values back; nothing
    else is ever written, so weight decay and rounding cannot reach the complement. Values are
    float32 masters whatever the model's number format: in bfloat16 a step below half a unit in the
    last place would vanish. Under DistributedDataParallel gradients are averaged before `gather`,
    and every rank holds the same entries.
    """

    def __init__(
        self, tensors: dict[str, nn.Parameter], masks: dict[str, Bool[Tensor, "..."]] | None
    ) -> None:
        """Without masks all entries are chosen; with them, those of tensors that have a mask.

        Tensors without a chosen entry are frozen (`requires_grad` False). A float32 tensor that is
        chosen whole costs no memory: its master is the tensor itself.
        """
        self._packed: dict[str, _Packed] = {}
        for name, tensor in tensors.items():
            mask = None if masks is None else masks.get(name, torch.zeros(()).bool())
            chosen = mask is None or bool(mask.any())
            tensor.requires_grad_(chosen)
            if chosen:
                self._packed[name] = _pack(tensor, mask)

    def parameters(self) -> list[nn.Parameter]:
        """The chosen entries, one parameter of one axis for every tensor that has some."""
        return [packed.values for packed in self._packed.values()]

    @property
    def names(self) -> list[str]:
        """The tensors that have chosen entries, in the order of `parameters`."""
        return list(self._packed)

    def gather(self) -> None:
        """Take the gradients of the chosen entries out of the model's, and clear those."""
        for tensor, index, values in self._packed.values():
            if tensor.grad is not None:
                flat = tensor.grad.flatten()
                values.grad = (flat if index is None else flat[index]).to(values.dtype)
            tensor.grad = None

    def scatter(self) -> None:
        """Write the chosen entries' values into the model."""
        with torch.no_grad():
            for tensor, index, values in self._packed.values():
                if index is not None:
                    tensor.view(-1).index_copy_(0, index, values.to(tensor.dtype))
                elif values.data_ptr() != tensor.data_ptr():
                    tensor.view(-1).copy_(values)

    def load(self, values: Mapping[str, Float[Tensor, " chosen"]]) -> None:
        """Set the chosen entries, here and in the model, to values by tensor name."""
        with torch.no_grad():
            for name, packed in self._packed.items():
                packed.values.copy_(values[name])
        self.scatter()


def _pack(tensor: nn.Parameter, mask: Bool[Tensor, "..."] | None) -> _Packed:
    flat = tensor.detach().view(-1)
    if mask is None or bool(mask.all()):
        return _Packed(tensor, None, nn.Parameter(flat.float()))
    index = mask.flatten().nonzero().flatten().to(tensor.device)
    return _Packed(tensor, index, nn.Parameter(flat[index].float()))
