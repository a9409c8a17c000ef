"""What an attention head writes, split by the token it reads from.

    u[h, j, k] = A[h, j, k] * v[h, k] @ W_O[h]        (arXiv 2402.13055, section 3; the OV circuit)

Exact: summed over k it is the head's output; over k and heads, plus b_O, it is attn_out.
"""

from einops import einsum
from jaxtyping import Float
from torch import Tensor

from interp.results.errors import BadInput


def expanded(
    value: Float[Tensor, "batch pos n_kv_heads d_head"], n_heads: int
) -> Float[Tensor, "batch pos n_heads d_head"]:
    """Values (or keys) of grouped-query attention, once for every query head that reads them."""
    shared = value.shape[2]
    if n_heads % shared:
        raise BadInput(f"{n_heads} heads cannot share {shared} key-value heads evenly")
    return value if shared == n_heads else value.repeat_interleave(n_heads // shared, dim=2)


def source_contributions(
    pattern: Float[Tensor, "batch n_heads query key"],
    value: Float[Tensor, "batch key n_heads d_head"],
    W_O: Float[Tensor, "n_heads d_head d_model"],
) -> Float[Tensor, "batch n_heads query key d_model"]:
    """Each head's write to the residual stream at `query`, split by the source token `key`.

    Holds heads * query * key * d_model numbers a sequence: for a few tokens' logits read `value`
    through `DirectLogits` instead.
    """
    written = einsum(
        value, W_O, "batch key n_heads d_head, n_heads d_head d_model -> batch n_heads key d_model"
    )
    return einsum(
        pattern,
        written,
        "batch n_heads query key, batch n_heads key d_model -> batch n_heads query key d_model",
    )


def head_outputs(
    pattern: Float[Tensor, "batch n_heads query key"],
    value: Float[Tensor, "batch key n_heads d_head"],
    W_O: Float[Tensor, "n_heads d_head d_model"],
) -> Float[Tensor, "batch query n_heads d_model"]:
    """Each head's whole write, z W_O, without the output bias, which belongs to no head."""
    mixed = einsum(
        pattern,
        value,
        "batch n_heads query key, batch key n_heads d_head -> batch query n_heads d_head",
    )
    return einsum(
        mixed,
        W_O,
        "batch query n_heads d_head, n_heads d_head d_model -> batch query n_heads d_model",
    )
