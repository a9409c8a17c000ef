"""Where neurons, heads and layers pass in a decoder's forward pass: to watch them and gate them.

sites = sites_of(trained.model)
with gated(sites, "neuron", gates):       # gates: one number a unit, layer by unit
    logits = trained.model(input_ids=tokens).logits
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from interp.results.errors import Unsupported

GateKind = Literal["neuron", "head", "layer"]
Watch = Callable[[int, Tensor], None]

_TRUNK = ("layers", "h")
_ATTENTION = ("self_attn", "attn", "attention")
_ATTENTION_OUT = ("o_proj", "c_proj", "dense")
_MLP_OUT = ("down_proj", "c_proj", "dense_4h_to_h")


@dataclass(frozen=True, kw_only=True)
class Sites:
    """The modules at which units can be read and scaled, one a layer."""

    layers: tuple[nn.Module, ...]
    attention_out: tuple[nn.Module, ...]
    """Their input is every query head's `z`, side by side."""
    mlp_out: tuple[nn.Module, ...]
    """Their input is every MLP neuron's activation; empty in a mixture of experts."""
    mlp_gate: tuple[nn.Module, ...]
    """Their output begins with the gate before its nonlinearity, and ends with the other branch
    where both are one matrix (Phi-3); empty where the MLP is not gated."""
    n_heads: int
    d_mlp: int

    def per_layer(self, kind: GateKind) -> int:
        """Units of a kind in every layer."""
        return {"neuron": self.d_mlp, "head": self.n_heads, "layer": 1}[kind]


def sites_of(model: PreTrainedModel) -> Sites:
    """The sites of a decoder as transformers builds it.

    Raises Unsupported where its blocks are not made of an attention and an MLP that we know.
    """
    layers = tuple(_member(model.base_model, _TRUNK, model))
    attention = [_member(layer, _ATTENTION, model) for layer in layers]
    mlp = [getattr(layer, "mlp", None) for layer in layers]
    mlp_out = [_found(block, _MLP_OUT) for block in mlp]
    gate = [_found(block, ("gate_proj", "gate_up_proj")) for block in mlp]
    known = all(module is not None for module in mlp_out)
    return Sites(
        layers=layers,
        attention_out=tuple(_member(block, _ATTENTION_OUT, model) for block in attention),
        mlp_out=tuple(module for module in mlp_out if module is not None),
        mlp_gate=tuple(module for module in gate if module is not None),
        n_heads=int(model.config.num_attention_heads),
        d_mlp=_d_in(mlp_out[0]) if known and mlp_out[0] is not None else 0,
    )


@contextmanager
def gated(sites: Sites, kind: GateKind, gates: Float[Tensor, "layer unit"]) -> Iterator[None]:
    """While open, every unit is multiplied by its gate: 1 leaves it, 0 takes it out.

    A neuron's activation and a head's `z` are scaled before they are written to the residual
    stream; a layer's gate scales all that the layer adds to it. Gradients flow to the gates.
    """
    handles = [
        _scale(sites, kind, layer, gates[layer], sites.per_layer(kind))
        for layer in range(len(_modules(sites, kind)))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def watching_activations(sites: Sites, watch: Watch) -> Iterator[None]:
    """While open, `watch(layer, activation)` sees every MLP neuron's activation."""
    with _watching(_modules(sites, "neuron"), watch, outputs=False):
        yield


@contextmanager
def watching_gates(sites: Sites, watch: Watch) -> Iterator[None]:
    """While open, `watch(layer, gate)` sees what decides whether an MLP neuron is on.

    In a gated MLP the gate before its nonlinearity, else the activation itself: SiLU, GELU and
    ReLU are positive exactly where their input is.
    """
    gates = sites.mlp_gate

    def watch_gate(layer: int, values: Tensor) -> None:
        watch(layer, values[..., : sites.d_mlp])

    with _watching(gates or _modules(sites, "neuron"), watch_gate, outputs=bool(gates)):
        yield


@contextmanager
def _watching(modules: tuple[nn.Module, ...], watch: Watch, *, outputs: bool) -> Iterator[None]:
    def after(layer: int) -> Callable[..., None]:
        return lambda _module, _inputs, output: watch(layer, output)

    def before(layer: int) -> Callable[..., None]:
        return lambda _module, inputs: watch(layer, inputs[0])

    handles = [
        module.register_forward_hook(after(layer))
        if outputs
        else module.register_forward_pre_hook(before(layer))
        for layer, module in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scale(sites: Sites, kind: GateKind, layer: int, gate: Tensor, n: int) -> Any:
    """The hook of one layer."""

    def scale_inputs(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        split = inputs[0].unflatten(-1, (n, -1)) * gate[:, None]
        return (split.flatten(-2), *inputs[1:])

    def scale_layer(
        _module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> Any:
        before = inputs[0] if inputs else named["hidden_states"]
        after = output[0] if isinstance(output, tuple) else output
        mixed = before + gate[0] * (after - before)
        return (mixed, *output[1:]) if isinstance(output, tuple) else mixed

    module = _modules(sites, kind)[layer]
    if kind == "layer":
        return module.register_forward_hook(scale_layer, with_kwargs=True)
    return module.register_forward_pre_hook(scale_inputs)


def _modules(sites: Sites, kind: GateKind) -> tuple[nn.Module, ...]:
    if kind == "neuron" and not sites.mlp_out:
        raise Unsupported("a mixture of experts has no neurons that every token passes: rank heads")
    return {"neuron": sites.mlp_out, "head": sites.attention_out, "layer": sites.layers}[kind]


def _found(module: nn.Module | None, names: tuple[str, ...]) -> nn.Module | None:
    return next((m for name in names if (m := getattr(module, name, None)) is not None), None)


def _member(module: nn.Module, names: tuple[str, ...], model: PreTrainedModel) -> Any:
    found = _found(module, names)
    if found is None:
        raise Unsupported(
            f"a {type(model).__name__} has no {' or '.join(names)} where we look for its units"
        )
    return found


def _d_in(module: nn.Module) -> int:
    """Width of the input of a linear map, or of transformers' Conv1D, which is input first."""
    weight: Any = module.weight
    return int(weight.shape[1] if isinstance(module, nn.Linear) else weight.shape[0])
