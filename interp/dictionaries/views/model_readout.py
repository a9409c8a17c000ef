"""The direct path of a model from a site to its logits, as one or two matrices."""

import re
from typing import Any

from transformer_lens.model_bridge import TransformerBridge

from interp.dictionaries.views.decoder import Readout
from interp.results.errors import Unsupported

_RESIDUAL = re.compile(
    r"blocks\.\d+\.(hook_resid_(pre|mid|post)|hook_in|hook_out|hook_attn_out|hook_mlp_out"
    r"|mlp\.hook_out|attn\.hook_out)|hook_embed|hook_pos_embed"
)
_NEURONS = re.compile(r"blocks\.(\d+)\.mlp\.hook_post")


def readout_of(model: TransformerBridge, site: str) -> Readout:
    """How a direction at `site` reaches the logits with no layer in between.

    The final norm's gain is folded into the unembedding; for a LayerNorm the direction is centred
    first. Its scale and all biases are left out. Unsupported for a site that is neither in the
    residual stream, nor what a block writes into it, nor an MLP's neurons.
    """
    neurons = _NEURONS.fullmatch(site)
    if neurons is None and _RESIDUAL.fullmatch(site) is None:
        raise Unsupported(
            f"logits of features at {site}: expected a site in the residual stream, an output of "
            "attention or MLP, or mlp.hook_post; leave out the model to view them without logits"
        )
    config: Any = model.cfg
    W_U = model.W_U.detach().float()
    norm: Any = getattr(model, "ln_final", None)
    gain = None if norm is None else getattr(norm, "weight", None)
    to_logits = W_U if gain is None else gain.detach().float()[:, None] * W_U
    if norm is not None and config.normalization_type == "LN":
        to_logits = to_logits - to_logits.mean(dim=0, keepdim=True)
    if neurons is None:
        return Readout(None, to_logits)
    mlp: Any = model.blocks[int(neurons.group(1))].mlp
    return Readout(mlp.W_out.detach().float(), to_logits)
