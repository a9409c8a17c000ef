"""Work shared among the processes of `torchrun`: each piece is done once, whoever does it."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from interp.capture.distributed import current_ranks

Piece = TypeVar("Piece")


def each_once(
    pieces: Sequence[Callable[[], Piece]], advance: Callable[..., None] = lambda: None
) -> list[Piece]:
    """What every piece gives, in order and the same on all ranks; pieces go round them in turn."""
    ranks = current_ranks()
    own: dict[int, Piece] = {}
    for number, piece in enumerate(pieces):
        if number % ranks.world == ranks.rank:
            own[number] = piece()
        advance()
    found = {number: value for part in ranks.share(own) for number, value in part.items()}
    return [found[number] for number in range(len(pieces))]
