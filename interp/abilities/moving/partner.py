"""A model's numbers beside those of the base, where its vocabulary's rows lie elsewhere too."""

import math

from jaxtyping import Float
from torch import Tensor

from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk
from interp.abilities.streaming.numbers import to_numbers


def numbers_beside(
    model: Checkpoint, piece: Chunk, base: Float[Tensor, " entries"]
) -> Float[Tensor, " entries"]:
    """What the model has where the base has the piece, in the type of `base`.

    In a row that the model has no token for it is the base's own, so the difference is zero.
    """
    dtype = model.span(piece.name).dtype
    rows = model.rows.get(piece.name)
    if rows is None:
        return to_numbers(model.words(piece), dtype).to(base.dtype)
    numbers = base.clone()
    width = math.prod(model.span(piece.name).shape[1:])
    for run in rows.runs(piece.start, piece.stop, width=width):
        words = model.words(Chunk(piece.name, run.source, run.source + run.length))
        numbers[run.at : run.at + run.length] = to_numbers(words, dtype).to(base.dtype)
    return numbers
