"""Whether what a head writes lowers some tokens most of all, without every token's logit."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.heads.weights.low_rank import among_lowest

FIRST = 2048
"""Tokens looked at first: enough to clear nearly all that are asked about."""
_ROWS = 256


def lowered_most(
    written: Float[Tensor, "rows d_model"],
    unembedding: Float[Tensor, "d_model d_vocab"],
    asked: Int[Tensor, "rows asked"],
    k: int,
) -> Bool[Tensor, "rows asked"]:
    """`among_lowest(written, unembedding, asked, k)`, the same answer for less work.

    A token above more than k of some tokens is not among the k lowest of all: every n-th token of
    the vocabulary is compared first, and the whole of it only for rows where that leaves a doubt.
    """
    d_vocab = unembedding.shape[1]
    few = unembedding[:, :: max(1, d_vocab // FIRST)].contiguous()
    ids, place = torch.unique(asked, return_inverse=True)
    own = unembedding[:, ids].T.contiguous()
    marks = torch.zeros(asked.shape, dtype=torch.bool, device=asked.device)
    doubtful = [
        start + _in_doubt(written[start : start + _ROWS], few, own, place[start : start + _ROWS], k)
        for start in range(0, len(written), _ROWS)
    ]
    rows = torch.cat(doubtful) if doubtful else torch.zeros(0, dtype=torch.long)
    if len(rows):
        marks[rows] = among_lowest(written[rows], unembedding, asked[rows], k)
    return marks


def _in_doubt(
    written: Float[Tensor, "rows d_model"],
    few: Float[Tensor, "d_model few"],
    own: Float[Tensor, "ids d_model"],
    place: Int[Tensor, "rows asked"],
    k: int,
) -> Int[Tensor, " doubtful"]:
    least = torch.einsum("rd,rad->ra", written, own[place]).amin(dim=-1, keepdim=True)
    below = ((written @ few) < least).sum(dim=-1)
    return torch.nonzero(below <= k)[:, 0]
