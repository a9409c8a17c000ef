"""What an extraction reads and writes, and where every chunk's weights go in the file."""

from collections.abc import Iterator
from dataclasses import dataclass

from interp.abilities.masks.support import Support
from interp.abilities.moving.recipe import ExtractionRecipe
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.chunks import Chunk
from interp.abilities.streaming.layout import ArraySpec, FileLayout, file_layout
from interp.models.weight_files import BYTES_OF

_UNSIGNED = {1: "U8", 2: "U16", 4: "U32", 8: "U64"}


@dataclass(frozen=True)
class Offset:
    """Where a chunk's weights start in the data file, and how many there are."""

    start: int
    count: int


class ExtractionPlan:
    """What is read, what is written, and where."""

    def __init__(
        self,
        *,
        models: list[Checkpoint],
        supports: dict[str, Support],
        recipe: ExtractionRecipe,
        chunk: int,
    ) -> None:
        self.models = models
        self.supports = supports
        self.recipe = recipe
        self.chunk = chunk
        # Patches are counted only at the end: room for the longest header they could need.
        longest = file_layout(self._arrays(dict.fromkeys(supports, 1 << 62)))
        self.head_bytes = len(longest.head) if recipe.exact else 0
        self.layout = self.layout_with({})
        self.offsets = dict(self._offsets())

    def layout_with(self, patches: dict[str, int]) -> FileLayout:
        """The data file with so many patches a tensor."""
        return file_layout(self._arrays(patches), head_bytes=self.head_bytes)

    def dtype(self, name: str) -> str:
        """Number format of the ability model's tensor."""
        return self.models[1].span(name).dtype

    def _arrays(self, patches: dict[str, int]) -> Iterator[ArraySpec]:
        for name, support in self.supports.items():
            yield ArraySpec(f"delta.{name}", "F32", (support.count,))
        for name, support in self.supports.items():
            dtype = _UNSIGNED[support.data.itemsize]
            yield ArraySpec(f"support.{name}", dtype, support.data.shape)
        for name in self.supports:
            yield ArraySpec(f"patch_positions.{name}", "U64", (patches.get(name, 0),))
            bits = _UNSIGNED[BYTES_OF[self.dtype(name)]]
            yield ArraySpec(f"patch_bits.{name}", bits, (patches.get(name, 0),))

    def _offsets(self) -> Iterator[tuple[Chunk, Offset]]:
        for name, support in self.supports.items():
            start = self.layout.starts[f"delta.{name}"]
            counts = support.counts(self.chunk)
            for piece, count in zip(
                self.models[0].chunks([name], chunk=self.chunk), counts.tolist(), strict=True
            ):
                yield piece, Offset(start, count)
                start += 4 * count
