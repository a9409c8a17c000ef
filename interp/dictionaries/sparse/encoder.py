"""The encoder's product in blocks, its choice of features, and the gradient through the choice."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd import Function

from interp.dictionaries.sparse.bags import table_gradient
from interp.dictionaries.sparse.choice import Choice
from interp.dictionaries.sparse.selection import Selector, largest_per_row

BLOCK_BYTES = 2**25
"""Pre-activations that exist at once on a CPU: about what its last cache holds."""


class Dead(NamedTuple):
    """The dead features of a step, and how many of them each row takes for the auxiliary loss."""

    features: Int[Tensor, " n_dead"]
    k: int


class Found(NamedTuple):
    """What encoding a batch gives; nothing here carries a gradient yet."""

    choice: Choice
    scaled: Float[Tensor, " active"]
    """Chosen pre-activations times the decoder's norms where they are rescaled (`feature_acts`)."""
    values: Float[Tensor, " active"]
    """What multiplies the decoder's rows; zero where the pre-activation is not positive."""
    dead_values: Float[Tensor, "rows n_dead"] | None
    """The same for the dead features, zero where a row does not take them; they keep their sign."""
    dead_taken: Bool[Tensor, "rows n_dead"] | None
    """Which of them a row takes; None where it takes them all."""


@torch.no_grad()
def find(
    x: Float[Tensor, "rows d_in"],
    W_enc: Float[Tensor, "d_in d_sae"],
    b_enc: Float[Tensor, " d_sae"],
    *,
    norms: Float[Tensor, " d_sae"] | None,
    selector: Selector,
    dead: Dead | None,
) -> Found:
    """Encode `x`, choose features, and take the pre-activations of the chosen and of the dead.

    With `norms` the choice is by pre-activation times decoder norm (`rescale_acts_by_decoder_norm`
    of sae-lens), which the reconstruction divides out again: h = relu(h n) / n for n > 0. The norms
    so weigh the choice alone, and their gradient through it is exactly zero.
    """
    if norms is not None:
        W_enc, b_enc = W_enc * norms, b_enc * norms
    chosen = None
    dead_scaled: list[Tensor] = []
    while chosen is None:
        dead_scaled = []
        for block in _blocks(x, W_enc, b_enc):
            selector.see(block)
            if dead is not None:
                dead_scaled.append(block.index_select(1, dead.features))
        chosen = selector.choose()
    choice, scaled = chosen
    values = scaled.relu()
    inverse = None if norms is None else 1 / norms.clamp(min=torch.finfo(norms.dtype).tiny)
    if inverse is not None:
        values = values * inverse[choice.features]
    if dead is None:
        return Found(choice, scaled.relu(), values, None, None)
    block = torch.cat(dead_scaled)
    taken = _taken(block, dead.k)
    if inverse is not None:
        block *= inverse[dead.features]
    if taken is not None:
        block *= taken
    return Found(choice, scaled.relu(), values, block, taken)


def _blocks(x: Tensor, W_enc: Tensor, b_enc: Tensor) -> Iterator[Tensor]:
    """Pre-activations of consecutive rows, each in the place of the one before."""
    n_rows, width = x.shape[0], W_enc.shape[1]
    rows = max(1, BLOCK_BYTES // (width * x.element_size())) if x.device.type == "cpu" else n_rows
    place = x.new_empty((min(rows, n_rows), width))
    for start in range(0, n_rows, rows):
        part = x[start : start + rows]
        yield torch.addmm(b_enc, part, W_enc, out=place[: part.shape[0]])


def _taken(values: Float[Tensor, "rows n_dead"], k: int) -> Bool[Tensor, "rows n_dead"] | None:
    if k >= values.shape[1]:
        return None
    taken = torch.zeros_like(values, dtype=torch.bool)
    return taken.scatter_(1, largest_per_row(values, k).columns, True)


class EncoderGradient(Function):
    """The values of `find`, as functions of the encoder.

    The gradient reaches the columns of W_enc and entries of b_enc that were chosen, or dead and
    taken, and no other. b_dec, where the input had it subtracted, gets minus W_enc times that of
    b_enc.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        W_enc: Tensor,
        b_enc: Tensor,  # noqa: ARG004 - an input, so that its gradient is asked for
        b_dec: Tensor | None,
        found: Found,
        dead: Dead | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(x, W_enc)
        ctx.found, ctx.dead, ctx.to_b_dec = found, dead, b_dec is not None
        block = found.dead_values
        return found.values.clone(), None if block is None else block.view_as(block)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, W_enc = ctx.saved_tensors
        found: Found = ctx.found
        choice, (by_value, by_dead) = found.choice, gradients
        entry = torch.zeros_like(found.values) if by_value is None else by_value
        entry = entry * (found.values > 0)
        columns = table_gradient(x, entry, choice.rows, choice.by_feature)
        bias = columns.new_zeros(choice.d_sae).index_add_(0, choice.features, entry)
        if by_dead is not None and found.dead_values is not None:
            if found.dead_taken is not None:
                by_dead = by_dead * found.dead_taken
            columns.index_add_(0, ctx.dead.features, by_dead.T @ x)
            bias.index_add_(0, ctx.dead.features, by_dead.sum(dim=0))
        to_b_dec = -(W_enc @ bias) if ctx.to_b_dec else None
        return None, columns.T.contiguous(), bias, to_b_dec, None, None
