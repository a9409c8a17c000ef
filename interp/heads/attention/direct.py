"""DirectLogits: what a head's write does to the logits of some tokens, later layers left out.

    l(t) = ((x C) * gamma / sigma) @ W_U[:, t]       x = z W_O or one source's part of it

The final norm is frozen: C centres where it is a LayerNorm, sigma is what it divided by there.
Weights stay factored: a layer and a set of n tokens cost d_model * d_model * n, never d_vocab^2.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.attention.geometry import HeadGeometry


class DirectLogits:
    """The direct path from the heads of a model to the logits of chosen tokens."""

    def __init__(self, geometry: HeadGeometry) -> None:
        self.geometry = geometry

    def columns(self, tokens: Int[Tensor, " tokens"]) -> Float[Tensor, "d_model tokens"]:
        """C diag(gamma) W_U[:, tokens]: a residual write times this is its logits times sigma."""
        # The unembedding lies in memory a token after the other: rows are read, columns searched.
        scaled = self.geometry.gamma[:, None] * self.geometry.W_U.T[tokens].T
        # C acts on the write's side: x C = x - mean(x), so the columns lose their mean.
        return scaled - scaled.mean(dim=0, keepdim=True) if self.geometry.centred else scaled

    def maps(
        self, layer: int, tokens: Int[Tensor, " tokens"]
    ) -> Float[Tensor, "n_heads d_head tokens"]:
        """From a head's values to the logits of `tokens`, times sigma: W_O C diag(gamma) W_U.

        Where a norm stands behind attention (OLMo 2) its gain is in it and its scale is not.
        """
        columns = self.geometry.output_gain(layer)[:, None] * self.columns(tokens)
        return self.geometry.W_O(layer) @ columns

    def read(
        self,
        layer: int,
        z: Float[Tensor, "*rows n_heads d_head"],
        tokens: Int[Tensor, " tokens"],
        *,
        scale: Float[Tensor, "*rows 1"] | None = None,
    ) -> Float[Tensor, "*rows n_heads tokens"]:
        """Logits that each head adds to `tokens`; `z` may be one source's A[j, k] v[k] as well.

        Without `scale` (the final norm's at the query, and that of a norm behind attention times
        it) the logits come times it: right up to one factor a position.
        """
        logits = torch.einsum("...hd,hdt->...ht", z, self.maps(layer, tokens))
        return logits if scale is None else logits / scale[..., None]
