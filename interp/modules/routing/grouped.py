"""GroupedMlp: a dense MLP cut into experts, each with matrices of its own."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers.activations import ACT2FN

from interp.models.mlp_weights import mlp_of, mlp_weights
from interp.modules.partition import Partition
from interp.results.errors import BadInput, Mismatch, Unsupported

Activation = Callable[[Tensor], Tensor]
_ACTIVATION_FIELDS = ("dense_act_fn", "activation_function", "hidden_act", "hidden_activation")


class GroupedMlp(nn.Module):
    """The experts of one MLP: only those chosen are computed, and summed in the experts' order.

    With all chosen it is the dense layer up to the rounding of another order of summation. The
    output bias is added once, whatever is chosen.
    """

    W_in: Tensor
    W_out: Tensor
    W_gate: Tensor | None
    b_in: Tensor | None
    b_gate: Tensor | None
    b_out: Tensor | None

    def __init__(self, bridge: TransformerBridge, partition: Partition) -> None:
        """Copies the weights of the partition's layer; BadInput where experts differ in size."""
        super().__init__()
        mlp, weights = mlp_of(bridge, partition.site), mlp_weights(bridge, partition.site)
        if len(weights.W_in) != partition.n_neurons:
            raise Mismatch(
                f"{partition.site} has {len(weights.W_in)} neurons and the partition "
                f"{partition.n_neurons}: it is of another model"
            )
        shape = (partition.n_experts, partition.size)
        order = torch.from_numpy(partition.permutation()).to(weights.W_in.device)
        grouped = {
            "W_in": weights.W_in,
            "W_gate": weights.W_gate,
            "W_out": weights.W_out,
            "b_in": getattr(mlp, "b_in", None),
            "b_gate": getattr(mlp, "b_gate", None),
        }
        for name, value in grouped.items():
            cut = None if value is None else value.detach()[order].unflatten(0, shape).clone()
            self.register_buffer(name, cut)
        b_out = getattr(mlp, "b_out", None)
        self.register_buffer("b_out", None if b_out is None else b_out.detach().clone())
        self.activation = _activation(bridge)

    def forward(
        self,
        x: Float[Tensor, "rows d_model"],
        chosen: Bool[Tensor, "rows experts"] | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        """What the chosen experts of each row write, all of them if not told."""
        n_experts = len(self.W_in)
        if chosen is not None and chosen.shape != (len(x), n_experts):
            raise BadInput(
                f"a choice of shape {tuple(chosen.shape)} for {len(x)} rows and {n_experts} experts"
            )
        out = torch.zeros_like(x)
        for expert in range(n_experts):
            if chosen is None:
                out += self._expert(x, expert)
                continue
            rows = chosen[:, expert].nonzero()[:, 0]
            out.index_add_(0, rows, self._expert(x[rows], expert))
        return out if self.b_out is None else out + self.b_out

    def _expert(self, x: Float[Tensor, "rows d_model"], expert: int) -> Tensor:
        into = _affine(x, self.W_in, self.b_in, expert)
        if self.W_gate is None:
            return self.activation(into) @ self.W_out[expert]
        gate = self.activation(_affine(x, self.W_gate, self.b_gate, expert))
        return (gate * into) @ self.W_out[expert]


def _affine(x: Tensor, W: Tensor, b: Tensor | None, expert: int) -> Tensor:
    product = x @ W[expert].T
    return product if b is None else product + b[expert]


def _activation(bridge: TransformerBridge) -> Activation:
    config = bridge.original_model.config
    names = [getattr(config, field, None) for field in _ACTIVATION_FIELDS]
    name = next((n for n in names if isinstance(n, str) and n in ACT2FN), None)
    if name is None:
        raise Unsupported(
            f"the config of {type(bridge.original_model).__name__} does not name its activation"
        )
    return ACT2FN[name]
