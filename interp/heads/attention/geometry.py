"""HeadGeometry: where the heads of a model are, and the weights of each, in one shape for all.

Weights are of a layer and come as the bridge holds them: folded norms stay folded (`folded` says
so), and what a model has no tensor for is zeros (biases) or ones (norm gains).
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.heads.attention.contributions import expanded
from interp.results.errors import Unsupported


@dataclass(frozen=True, kw_only=True)
class HeadGeometry:
    """The attention heads of a decoder, whatever its architecture."""

    bridge: TransformerBridge = field(repr=False)
    name: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_model: int
    d_vocab: int
    centred: bool
    """The final norm is a LayerNorm, which subtracts the mean, and not an RMSNorm."""
    folded: bool
    """Norm gains were folded into the weights, so W_V or W_U hold them."""

    @classmethod
    def of(cls, bridge: TransformerBridge) -> "HeadGeometry":
        """Of a loaded model; Unsupported, by name, where no attention pattern is computed."""
        kind = type(bridge.original_model).__name__
        name = getattr(bridge.original_model.config, "name_or_path", "") or kind
        blocks = getattr(bridge, "blocks", None)
        if blocks is None:
            raise Unsupported(
                f"{name} ({kind}) is no decoder of one stack: heads are read in decoders only"
            )
        for layer in range(len(blocks)):
            if f"blocks.{layer}.attn.hook_pattern" not in bridge.hook_dict:
                raise Unsupported(
                    f"{name} ({kind}) computes no attention pattern in block {layer}: it has no "
                    "heads to score; give a model with attention in every block"
                )
        if not _causal(bridge):
            raise Unsupported(
                f"{name} ({kind}) is no causal decoder: its tokens see what comes after them"
            )
        config = bridge.cfg
        first = blocks[0].attn
        return cls(
            bridge=bridge,
            name=str(name),
            n_layers=len(blocks),
            n_heads=int(first.W_O.shape[0]),
            n_kv_heads=int(first.W_V.shape[0]),
            d_head=int(first.W_O.shape[1]),
            d_model=int(first.W_O.shape[2]),
            d_vocab=int(bridge.W_U.shape[-1]),
            centred=not bool(getattr(config, "uses_rms_norm", False)),
            folded=bool(getattr(bridge, "compatibility_mode", False)),
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.bridge.original_model.parameters()).device

    def W_Q(self, layer: int) -> Float[Tensor, "n_heads d_model d_head"]:  # noqa: N802
        """Query weights; rotary positions and query norms are not in them."""
        return self._weight(layer, "W_Q")

    def W_K(self, layer: int) -> Float[Tensor, "n_kv_heads d_model d_head"]:  # noqa: N802
        """Key weights of each key-value head."""
        return self._weight(layer, "W_K")

    def W_V(self, layer: int) -> Float[Tensor, "n_kv_heads d_model d_head"]:  # noqa: N802
        """Value weights of each key-value head."""
        return self._weight(layer, "W_V")

    def W_O(self, layer: int) -> Float[Tensor, "n_heads d_head d_model"]:  # noqa: N802
        """Output weights."""
        return self._weight(layer, "W_O")

    def b_V(self, layer: int) -> Float[Tensor, "n_kv_heads d_head"]:  # noqa: N802
        """Value bias; zeros where there is none."""
        return self._bias(layer, "b_V", (self.n_kv_heads, self.d_head))

    def b_O(self, layer: int) -> Float[Tensor, " d_model"]:  # noqa: N802
        """Output bias; zeros where there is none."""
        return self._bias(layer, "b_O", (self.d_model,))

    def kv_head(self, head: int) -> int:
        """The key-value head that a query head reads."""
        return head * self.n_kv_heads // self.n_heads

    def per_head(self, weight: Float[Tensor, "n_kv_heads ..."]) -> Float[Tensor, "n_heads ..."]:
        """Weights of key-value heads, once for every query head."""
        return weight.repeat_interleave(self.n_heads // len(weight), dim=0)

    def expanded(
        self, value: Float[Tensor, "batch pos n_kv_heads d_head"]
    ) -> Float[Tensor, "batch pos n_heads d_head"]:
        """Values or keys, once for every query head that reads them."""
        return expanded(value, self.n_heads)

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:  # noqa: N802
        """The embedding, as the first block's residual has it (scaled where the model scales)."""
        return self.bridge.W_E.detach()

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab"]:  # noqa: N802
        """The unembedding, without the gain of the final norm unless that was folded."""
        return self.bridge.W_U.detach()

    @cached_property
    def b_U(self) -> Float[Tensor, " d_vocab"]:  # noqa: N802
        """The unembedding's bias; zeros where there is none."""
        bias = getattr(self.bridge, "b_U", None)
        return torch.zeros(self.d_vocab, device=self.device) if bias is None else bias.detach()

    @cached_property
    def gamma(self) -> Float[Tensor, " d_model"]:
        """The gain of the final norm; ones where it has none or it was folded."""
        return _gain(self.bridge.ln_final, self.d_model, self.device)

    def output_gain(self, layer: int) -> Float[Tensor, " d_model"]:
        """The gain of a norm that stands between attention and the residual; else ones."""
        norm = self._post_norm(layer)
        if norm is None:
            return torch.ones(self.d_model, device=self.device)
        return _gain(getattr(self.bridge.blocks[layer], norm), self.d_model, self.device)

    def output_scale_site(self, layer: int) -> str | None:
        """Where the scale of that norm is read (OLMo 2 has one); None without such a norm."""
        norm = self._post_norm(layer)
        return None if norm is None else f"blocks.{layer}.{norm}.hook_scale"

    def pattern_site(self, layer: int) -> str:
        """Attention after the softmax, [batch, n_heads, query, key]."""
        return f"blocks.{layer}.attn.hook_pattern"

    def v_site(self, layer: int) -> str:
        """Values, [batch, pos, n_kv_heads, d_head]."""
        return f"blocks.{layer}.attn.hook_v"

    def z_site(self, layer: int) -> str:
        """Values mixed by attention, [batch, pos, n_heads, d_head]: a head's output before W_O."""
        return f"blocks.{layer}.attn.hook_z"

    def attn_in_site(self, layer: int) -> str:
        """What W_Q, W_K and W_V read: the residual after the first norm, where there is one."""
        return f"blocks.{layer}.attn.hook_in"

    def attn_out_site(self, layer: int) -> str:
        """The sum of the heads and b_O, before any norm on the way to the residual."""
        return f"blocks.{layer}.attn.hook_out"

    @property
    def final_scale_site(self) -> str:
        """What the final norm divides by at each position."""
        return "ln_final.hook_scale"

    def _weight(self, layer: int, name: str) -> Tensor:
        return getattr(self.bridge.blocks[layer].attn, name).detach()

    def _bias(self, layer: int, name: str, shape: tuple[int, ...]) -> Tensor:
        bias = getattr(self.bridge.blocks[layer].attn, name, None)
        if bias is None:
            return torch.zeros(shape, device=self.device, dtype=self.W_O(layer).dtype)
        return bias.detach()

    def _post_norm(self, layer: int) -> str | None:
        # The bridge gives OLMo 2's norm behind attention the name of the norm that others have
        # before it.
        if type(self.bridge.original_model).__name__ == "Olmo2ForCausalLM":
            return "ln1"
        return "ln1_post" if hasattr(self.bridge.blocks[layer], "ln1_post") else None


def _gain(norm: torch.nn.Module, d_model: int, device: torch.device) -> Float[Tensor, " d_model"]:
    own = getattr(norm, "original_component", norm)
    weight = getattr(own, "weight", None)
    if weight is None:
        return torch.ones(d_model, device=device)
    offset = getattr(getattr(norm, "config", None), "rmsnorm_uses_offset", False)
    return weight.detach() + 1 if offset else weight.detach()


def _causal(bridge: TransformerBridge) -> bool:
    config = bridge.original_model.config
    kind = type(bridge.original_model).__name__
    return not getattr(config, "is_encoder_decoder", False) and "MaskedLM" not in kind
