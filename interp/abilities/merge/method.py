"""What a merge method is: what it measures of a whole tensor, and what it makes of a piece."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from interp.abilities.merge.recipe import MergeRecipe, MethodName
from interp.abilities.streaming.chunks import Chunk
from interp.results.errors import CorruptFile


class Piece(NamedTuple):
    """Entries of one tensor, in the base and in every model, all in one number format."""

    chunk: Chunk
    base: Float[Tensor, " entries"]
    models: tuple[Float[Tensor, " entries"], ...]
    sources: tuple[str, ...]
    """Where the base and the models come from, for a message."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What is measured before it is merged: a tensor, or all of a model."""

    chunks: Sequence[Chunk]
    """The pieces' places."""
    dtype: torch.dtype
    """Of the pieces."""
    generator: torch.Generator
    """One stream of random numbers for the whole merge, in the order of measuring."""
    each: Callable[[Callable[[Piece], Any]], Iterator[Any]]
    """A function's result for every piece, in the order of `chunks`."""


@dataclass(frozen=True, kw_only=True)
class MergeMethod:
    """One way to merge; measuring and merging are pure but for where pieces come from."""

    name: MethodName
    title: str
    source: str
    merge: Callable[[Piece, MergeRecipe, Any], Float[Tensor, " entries"]]
    """The merged piece, not yet rounded to the output's format."""
    measure: Callable[[Whole, MergeRecipe], Any] | None = None
    """What `merge` must know of all pieces; None: nothing."""
    hides: bool = False
    """Whether NaN in a model can leave the result finite, so that the models are checked too."""


def merge_tensor(
    method: MergeMethod,
    base: Float[Tensor, "*shape"],
    models: Sequence[Float[Tensor, "*shape"]],
    recipe: MergeRecipe,
    *,
    name: str = "",
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*shape"]:
    """One tensor merged in memory, as the streaming engine merges it piece by piece.

    In the format of `base` for mergekit's numerics; in float32 (float64 for float64) otherwise.
    """
    if recipe.numerics == "exact":
        wide = torch.float64 if base.dtype == torch.float64 else torch.float32
        base, models = base.to(wide), [model.to(wide) for model in models]
    whole = in_memory(base, models, name=name, generator=generator or _stream(recipe.seed))
    if not whole.chunks:
        return base.clone()
    facts = method.measure(whole, recipe) if method.measure else None
    (merged,) = whole.each(lambda piece: method.merge(piece, recipe, facts))
    return merged.reshape(base.shape)


def in_memory(
    base: Float[Tensor, "*shape"],
    models: Sequence[Float[Tensor, "*shape"]],
    *,
    name: str = "",
    generator: torch.Generator | None = None,
) -> Whole:
    """One tensor that lies in memory, as a whole of one piece; of none if it has no entries."""
    others = tuple(model.reshape(-1) for model in models)
    places = ("the base", *(f"model {i + 1}" for i in range(len(others))))
    piece = Piece(Chunk(name, 0, base.numel()), base.reshape(-1), others, places)
    return Whole(
        chunks=[piece.chunk] if base.numel() else [],
        dtype=base.dtype,
        generator=generator or _stream(0),
        each=lambda work: iter([work(piece)]),
    )


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_finite(piece: Piece) -> None:
    """CorruptFile naming tensor, source and entry, where an input is NaN or infinite."""
    for numbers, source in zip((piece.base, *piece.models), piece.sources, strict=True):
        if all_finite(numbers):
            continue
        at = int(torch.nonzero(~torch.isfinite(numbers))[0])
        raise CorruptFile(
            f"tensor {piece.chunk.name!r} of {source} is {float(numbers[at])} at entry "
            f"{piece.chunk.start + at}: nothing can be merged there"
        )


def all_finite(numbers: Float[Tensor, " entries"]) -> bool:
    """Whether no entry is NaN or infinite; quicker than asking every entry."""
    if not numbers.numel():
        return True
    if numbers.itemsize == 2:
        infinity = torch.tensor(torch.inf, dtype=numbers.dtype).view(torch.int16)
        return int((numbers.view(torch.int16) & 0x7FFF).max()) < int(infinity)
    return bool(torch.isfinite(torch.stack(torch.aminmax(numbers))).all())
