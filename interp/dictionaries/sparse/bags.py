"""Sums of a table's rows over bags of entries, and the gradients of such sums.

    out[b] = sum over entries i of bag b of value[i] * table[index[i]]

is a product of a sparse matrix and a dense one. Its gradient in `value` is a dot product an entry;
its gradient in `table` is the same kind of sum, over the entries sorted by index. PyTorch's
`embedding_bag` computes all of them without an atomic add or a dense matrix.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from interp.dictionaries.sparse.choice import ByFeature

_SUM = 0  # embedding_bag's number for mode="sum"
_NO_PADDING = -1


def bag_sums(
    table: Float[Tensor, "d_table d"],
    index: Int[Tensor, " active"],
    starts: Int[Tensor, " bags_and_one"],
    value: Float[Tensor, " active"],
) -> Float[Tensor, "bags d"]:
    """Each bag's weighted sum of rows of `table`."""
    return embedding_bag(
        index, table, starts, mode="sum", per_sample_weights=value, include_last_offset=True
    )


def value_gradient(
    gradient: Float[Tensor, "bags d"],
    table: Float[Tensor, "d_table d"],
    index: Int[Tensor, " active"],
    starts: Int[Tensor, " bags_and_one"],
    bag: Int[Tensor, " active"],
) -> Float[Tensor, " active"]:
    """The gradient of `bag_sums` in `value`: gradient[bag[i]] . table[index[i]]."""
    return torch.ops.aten._embedding_bag_per_sample_weights_backward(
        gradient.contiguous(), table, index, starts, bag, _SUM, _NO_PADDING
    )


def table_gradient(
    gradient: Float[Tensor, "bags d"],
    value: Float[Tensor, " active"],
    bag: Int[Tensor, " active"],
    by_feature: ByFeature,
) -> Float[Tensor, "d_table d"]:
    """The gradient of `bag_sums` in `table`, every row of it written once."""
    order = by_feature.order
    return bag_sums(gradient.contiguous(), bag[order], by_feature.starts, value[order])
