"""How alike ability and language weights are, tensor by tensor, streamed from files."""

from collections.abc import Sequence

import torch

from interp.abilities.moving.ability_chunks import AbilityChunks
from interp.abilities.moving.partner import numbers_beside
from interp.abilities.moving.similarity import (
    Moments,
    Similarity,
    language_weights,
    moments,
    similarity_of,
)
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk, in_order
from interp.abilities.streaming.numbers import to_numbers
from interp.results.progress import progress


def stream_similarity(
    base: Checkpoint,
    ability: AbilityChunks,
    languages: Sequence[tuple[float, Checkpoint]],
    *,
    chunk: int,
    threads: int,
) -> dict[str, Similarity]:
    """The similarity of every tensor in which the ability has a weight that is not zero, by name.

    One pass over the base, the ability and the language models of these tensors; the language
    weights are formed a chunk at a time and never stored.
    """
    names = sorted(name for name, count in ability.weights.counts_by_tensor().items() if count)
    sums = dict.fromkeys(names, Moments())

    def of_chunk(piece: Chunk) -> tuple[Chunk, Moments]:
        start = to_numbers(base.words(piece), base.span(piece.name).dtype)
        terms = [(mu, numbers_beside(model, piece, start)) for mu, model in languages if mu != 0.0]
        language = language_weights(start, terms)
        nothing = (torch.empty(0, dtype=torch.int64), language[:0])
        return piece, moments(language, *(ability.entries(piece) or nothing))

    total = sum(base.span(name).n_entries for name in names)
    with progress("comparing", total=total, unit="entries") as advance:
        for piece, part in in_order(of_chunk, base.chunks(names, chunk=chunk), threads=threads):
            sums[piece.name] = sums[piece.name].plus(part)
            advance(piece.stop - piece.start)
    return {name: similarity_of(total) for name, total in sums.items() if total.ability}
