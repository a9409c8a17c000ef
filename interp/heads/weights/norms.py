"""AttentionNorms: what stands between the residual stream and a head's projections."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from interp.heads.attention import HeadGeometry
from interp.results.errors import Unsupported

_AGREES = 1e-3
_SAMPLE = 4


@dataclass(frozen=True, kw_only=True)
class AttentionNorms:
    """The norm before attention and those of queries and keys, checked against the model."""

    geometry: HeadGeometry
    before: bool
    """Attention reads a normed residual; OLMo 2 norms behind attention and reads it bare."""
    eps: float

    @classmethod
    def of(cls, geometry: HeadGeometry) -> "AttentionNorms":
        """Read off a forward pass over a few tokens; Unsupported where it explains no layer."""
        inputs = _inputs(geometry)
        eps = float(getattr(geometry.bridge.cfg, "eps", 1e-5))
        for before in (True, False):
            norms = cls(geometry=geometry, before=before, eps=eps)
            if all(norms._explains(layer, *inputs[layer]) for layer in inputs):
                return norms
        raise Unsupported(
            f"{geometry.name}: attention reads neither the residual stream nor its norm, so its "
            "circuits from tokens to tokens are not known"
        )

    def normalised(self, residual: Float[Tensor, "rows d_model"]) -> Float[Tensor, "rows d_model"]:
        """What attention reads of a residual row, without gain and bias."""
        if not self.before:
            return residual
        if self.geometry.centred:
            residual = residual - residual.mean(-1, keepdim=True)
        return residual / (residual.square().mean(-1, keepdim=True) + self.eps).sqrt()

    def gain(self, layer: int) -> Float[Tensor, " d_model"]:
        """The gain of the norm before attention; ones where there is none."""
        return self._tensor(layer, "weight", 1.0)

    def bias(self, layer: int) -> Float[Tensor, " d_model"]:
        """The bias of the norm before attention; zeros where there is none."""
        return self._tensor(layer, "bias", 0.0)

    def of_queries(
        self, layer: int, queries: Float[Tensor, "n_heads rows d_head"]
    ) -> Float[Tensor, "n_heads rows d_head"]:
        """Queries after the model's norm of queries, where it has one."""
        return self._normed(layer, "q_norm", queries)

    def of_keys(
        self, layer: int, keys: Float[Tensor, "n_kv_heads rows d_head"]
    ) -> Float[Tensor, "n_kv_heads rows d_head"]:
        """Keys after the model's norm of keys, where it has one."""
        return self._normed(layer, "k_norm", keys)

    def _tensor(self, layer: int, name: str, default: float) -> Float[Tensor, " d_model"]:
        norm = getattr(self.geometry.bridge.blocks[layer], "ln1", None) if self.before else None
        own = getattr(getattr(norm, "original_component", norm), name, None)
        if own is None:
            return torch.full((self.geometry.d_model,), default, device=self.geometry.device)
        return own.detach().float()

    def _explains(self, layer: int, residual: Tensor, read: Tensor) -> bool:
        expected = self.normalised(residual.float()) * self.gain(layer) + self.bias(layer)
        return torch.allclose(expected, read.float(), atol=_AGREES, rtol=_AGREES)

    def _normed(self, layer: int, name: str, rows: Tensor) -> Tensor:
        norm = getattr(self.geometry.bridge.blocks[layer].attn, name, None)
        own = getattr(norm, "original_component", norm)
        if own is None:
            return rows
        n_heads, n_rows, d_head = rows.shape
        by_token = rows.transpose(0, 1)
        if own.weight.numel() != d_head:  # OLMo 2 norms all heads of a token together
            flat = own(by_token.reshape(n_rows, n_heads * d_head))
            by_token = flat.reshape(n_rows, n_heads, d_head)
        else:
            by_token = own(by_token)
        return by_token.detach().transpose(0, 1)


def _inputs(geometry: HeadGeometry) -> dict[int, tuple[Tensor, Tensor]]:
    """Layer -> (residual before the block, what attention reads), of a few tokens."""
    seen: dict[str, Tensor] = {}
    sites = [
        site
        for layer in range(geometry.n_layers)
        for site in (f"blocks.{layer}.hook_resid_pre", geometry.attn_in_site(layer))
    ]

    def take(site: str, value: Tensor, *, hook: object) -> None:  # noqa: ARG001
        seen[site] = value.detach()

    tokens = torch.arange(_SAMPLE, device=geometry.device)[None] % geometry.d_vocab
    with (
        geometry.bridge.hooks(fwd_hooks=[(site, partial(take, site)) for site in sites]),
        torch.no_grad(),
    ):
        geometry.bridge(tokens, return_type=None)
    return {
        layer: (
            seen[f"blocks.{layer}.hook_resid_pre"].flatten(0, 1),
            seen[geometry.attn_in_site(layer)].flatten(0, 1),
        )
        for layer in range(geometry.n_layers)
    }
