"""MlpWeights: what each neuron of one MLP reads and writes, from a model or from its files.

weights = mlp_weights("models/base", "blocks.3.mlp.hook_post")    reads three tensors, no model
weights = mlp_weights(bridge, "blocks.3.mlp.hook_post")
"""

from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from interp.models.hub import directory_of
from interp.models.mlp_tensors import mlp_tensors
from interp.models.sites import UnknownSite, split_name
from interp.models.weight_files import TensorSpan, locate_tensors
from interp.results.errors import Unsupported


class MlpWeights(NamedTuple):
    """A row a neuron: h = act(x @ W_gate.T) * (x @ W_in.T) or act(x @ W_in.T); out = h @ W_out."""

    W_in: Float[Tensor, "neurons d_model"]
    W_gate: Float[Tensor, "neurons d_model"] | None
    W_out: Float[Tensor, "neurons d_model"]


def mlp_weights(model: TransformerBridge | Path | str, site: str) -> MlpWeights:
    """The weights of the MLP whose neurons `site` holds (blocks.3.mlp.hook_post).

    From a directory, bundled name or hub id only the tensors asked for are read, in the format
    they are stored in. Raises Unsupported where `site` holds no neurons of a dense MLP.
    """
    if isinstance(model, TransformerBridge):
        return _of_bridge(model, site)
    spans = locate_tensors(directory_of(model))
    names = mlp_tensors(spans, site)
    W_in, W_out = _read(spans[names.W_in]), _read(spans[names.W_out])
    W_gate = None if names.W_gate is None else _read(spans[names.W_gate])
    if names.in_first:
        return MlpWeights(W_in.T, None if W_gate is None else W_gate.T, W_out)
    return MlpWeights(W_in, W_gate, W_out.T)


def mlp_of(bridge: TransformerBridge, site: str) -> Any:
    """The bridge's MLP module behind a site of neurons; UnknownSite where there is none."""
    if site not in bridge.hook_dict:
        raise UnknownSite(site, bridge.hook_dict)
    stack, layer, leaf = split_name(site)
    if stack is None or layer is None or leaf not in ("mlp.hook_post", "mlp.out.hook_in"):
        raise Unsupported(
            f"{site} does not hold the neurons of an MLP: give a site as blocks.3.mlp.hook_post"
        )
    return getattr(bridge, stack)[layer].mlp


def _of_bridge(bridge: TransformerBridge, site: str) -> MlpWeights:
    mlp = mlp_of(bridge, site)
    W_in, W_out = getattr(mlp, "W_in", None), getattr(mlp, "W_out", None)
    if W_in is None or W_out is None:
        raise Unsupported(
            f"{site} belongs to a mixture of experts, whose weights are those of its own experts"
        )
    W_gate = getattr(mlp, "W_gate", None)
    return MlpWeights(
        W_in.detach().T, None if W_gate is None else W_gate.detach().T, W_out.detach()
    )


def _read(span: TensorSpan) -> Tensor:
    with safe_open(span.file, framework="pt") as file:
        return file.get_tensor(span.name)
