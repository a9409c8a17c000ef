"""Written: what a head writes into the logits of candidate tokens, from each token it could read.

    l[h, k](t) = v[h, k] W_O[h] C diag(gamma) W_U[:, t]     input "residual", times the final scale
    l[h, k](t) = W_E[t_k] W_V[h] W_O[h] W_U[:, t]           input "embedding", no norm anywhere

Only W_U's columns of the candidates are used. Of v only the part that depends on the token is kept:
b_V, and what the first norm's bias makes of W_V, raise the same tokens whatever is attended.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.heads.attention.direct import DirectLogits
from interp.heads.attention.geometry import HeadGeometry
from interp.heads.attention.reading import LayerView
from interp.heads.relations.choices import RelationChoices
from interp.results.errors import Unsupported


def refuse_folded(geometry: HeadGeometry, choices: RelationChoices) -> None:
    """Unsupported where raw embeddings are asked of a model whose norms were folded away."""
    if geometry.folded and choices.input == "embedding":
        raise Unsupported(
            f"{choices.name} reads W_E W_V W_O W_U as trained, and the norms of {geometry.name} "
            "were folded into these weights: load it without compatibility mode"
        )


def candidate_columns(
    geometry: HeadGeometry, choices: RelationChoices, candidates: Int[Tensor, "batch n"]
) -> Float[Tensor, "batch d_model n"]:
    """The unembedding's columns of each sequence's candidates, with the final norm where read."""
    flat = candidates.reshape(-1)
    if choices.input == "residual":
        columns = DirectLogits(geometry).columns(flat)
    else:
        columns = geometry.W_U.index_select(1, flat)
    return columns.unflatten(1, candidates.shape).transpose(0, 1)


def maps(
    geometry: HeadGeometry,
    choices: RelationChoices,
    layer: int,
    columns: Float[Tensor, "batch d_model n"],
) -> Float[Tensor, "batch n_heads d_head n"]:
    """From a head's values to the candidates' logits: d_model * d_model * n a sequence."""
    if choices.input == "residual":
        columns = geometry.output_gain(layer)[None, :, None] * columns
    flat = geometry.W_O(layer).flatten(0, 1)
    return (flat @ columns).unflatten(1, (geometry.n_heads, geometry.d_head))


def values(
    view: LayerView, choices: RelationChoices, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos n_heads d_head"]:
    """What each token gives to a head that reads it, the constant part left out."""
    geometry = view.geometry
    if choices.input == "residual":
        return view.v - constant_value(geometry, view.layer)
    # Few ids fill many places: each goes through W_V once.
    ids, place = torch.unique(tokens, return_inverse=True)
    value = torch.einsum("td,hdk->thk", geometry.W_E[ids], geometry.W_V(view.layer))
    return geometry.expanded(value[place])


def constant_value(geometry: HeadGeometry, layer: int) -> Float[Tensor, "n_heads d_head"]:
    """The part of v that is the same for every token: b_V and the first norm's bias times W_V."""
    constant = geometry.b_V(layer)
    norm = getattr(geometry.bridge.blocks[layer], "ln1", None)
    bias = getattr(getattr(norm, "original_component", norm), "bias", None)
    if bias is not None and not geometry.folded and geometry.output_scale_site(layer) is None:
        constant = constant + torch.einsum("d,hdk->hk", bias.detach(), geometry.W_V(layer))
    return geometry.per_head(constant)
