"""NativeBlock: one mixture-of-experts layer of a model, with its router and its experts' weights.

A bridge has no hook inside an expert, and its `mlp.hook_pre` and `mlp.hook_post` are the block's
input and output, not neurons. So a block is read from its weights: gate and up projections stacked
in `experts.gate_up_proj` (Mixtral, OLMoE, Qwen2-MoE, Qwen3-MoE) or a module an expert (Switch).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from interp.results.errors import Unsupported

_STYLES = {
    "MixtralSparseMoeBlock": "mixtral",
    "OlmoeSparseMoeBlock": "olmoe",
    "Qwen2MoeSparseMoeBlock": "qwen2-moe",
    "Qwen3MoeSparseMoeBlock": "qwen3-moe",
    "SwitchTransformersSparseMLP": "switch",
}
_STACKS = ("encoder_blocks", "decoder_blocks", "blocks")


class ExpertWeights(NamedTuple):
    """One expert's feed-forward network; views of the model's own tensors."""

    W_gate: Float[Tensor, "neurons d_model"] | None
    """None where the expert is not gated."""
    W_in: Float[Tensor, "neurons d_model"]
    W_out: Float[Tensor, "d_model neurons"]


@dataclass(frozen=True, kw_only=True)
class NativeBlock:
    """A router, its experts, and what the model does between them."""

    site: str
    """Where the block stands: `blocks.3.mlp`. Its input and output are `.hook_in`, `.hook_out`."""
    style: str
    """mixtral, olmoe, qwen2-moe, qwen3-moe or switch."""
    n_experts: int
    top_k: int
    n_neurons: int
    """Of each expert."""
    normalised: bool
    """Whether the weights of the chosen experts are scaled to sum to 1."""
    capacity: int | None
    """Tokens of one sequence that an expert takes; the rest are dropped. None without a limit."""
    W_router: Float[Tensor, "experts d_model"]
    b_router: Float[Tensor, " experts"] | None
    activation: Callable[[Tensor], Tensor]
    expert: Callable[[int], ExpertWeights]
    shared: ExpertWeights | None
    """The expert that every token passes, of Qwen2-MoE."""
    W_shared_gate: Float[Tensor, "1 d_model"] | None
    """What the shared expert's output is scaled by, through a sigmoid."""

    @property
    def d_model(self) -> int:
        """Width of the block's input and output."""
        return self.W_router.shape[1]


def native_blocks(bridge: TransformerBridge) -> tuple[NativeBlock, ...]:
    """Every mixture-of-experts layer of `bridge`, an encoder's before a decoder's.

    Raises Unsupported for a dense model and for a mixture whose code is not one of those we read.
    """
    found, other = [], set()
    for stack in _STACKS:
        for layer, block in enumerate(getattr(bridge, stack, None) or ()):
            module = _unwrapped(block.mlp) if hasattr(block, "mlp") else None
            kind = type(module).__name__
            if kind in _STYLES:
                found.append(_block(module, kind, f"{stack}.{layer}.mlp"))
            elif hasattr(module, "experts"):
                other.add(kind)
    if other:
        raise Unsupported(
            f"{', '.join(sorted(other))} is a mixture of experts whose code we do not read: we "
            f"read {', '.join(_STYLES.values())}"
        )
    if not found:
        raise Unsupported(
            f"{type(bridge.original_model).__name__} has no experts of its own: it is dense; "
            "`interp modules partition` forms experts from its neurons"
        )
    return tuple(found)


def _block(module: Any, kind: str, site: str) -> NativeBlock:
    if kind == "SwitchTransformersSparseMLP":
        return _switch(module, site)
    router, experts = _unwrapped(module.gate), _unwrapped(module.experts)
    shared, scale = None, None
    if kind == "Qwen2MoeSparseMoeBlock":
        own = _unwrapped(module.shared_expert)
        shared = ExpertWeights(
            W_gate=_unwrapped(own.gate_proj).weight,
            W_in=_unwrapped(own.up_proj).weight,
            W_out=_unwrapped(own.down_proj).weight,
        )
        scale = _unwrapped(module.shared_expert_gate).weight

    def expert(e: int) -> ExpertWeights:
        gate, up = experts.gate_up_proj[e].chunk(2, dim=0)
        return ExpertWeights(gate, up, experts.down_proj[e])

    return NativeBlock(
        site=site,
        style=_STYLES[kind],
        n_experts=router.weight.shape[0],
        top_k=router.top_k,
        n_neurons=experts.down_proj.shape[2],
        # Mixtral's code has no switch: it always normalises.
        normalised=getattr(router, "norm_topk_prob", True),
        capacity=None,
        W_router=router.weight,
        b_router=None,
        activation=experts.act_fn,
        expert=expert,
        shared=shared,
        W_shared_gate=scale,
    )


def _switch(module: Any, site: str) -> NativeBlock:
    router, experts = _unwrapped(module.router), _unwrapped(module.experts)
    first = experts["expert_0"]

    def expert(e: int) -> ExpertWeights:
        own = experts[f"expert_{e}"]
        return ExpertWeights(None, own.wi.weight, own.wo.weight)

    return NativeBlock(
        site=site,
        style="switch",
        n_experts=router.num_experts,
        top_k=1,
        n_neurons=first.wi.weight.shape[0],
        normalised=False,
        capacity=router.expert_capacity,
        W_router=router.classifier.weight,
        b_router=router.classifier.bias,
        activation=first.act,
        expert=expert,
        shared=None,
        W_shared_gate=None,
    )


def _unwrapped(module: nn.Module) -> Any:
    """The model's own module behind the bridge's wrappers: calling it fires no hook."""
    while isinstance(inner := module._modules.get("_original_component"), nn.Module):
        module = inner
    return module
