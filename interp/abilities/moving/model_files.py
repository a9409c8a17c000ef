"""The files of a model directory that is written after the pattern of another."""

import json
import shutil
from pathlib import Path

from interp.abilities.moving.compatibility import is_float
from interp.abilities.moving.lineage import FILE
from interp.abilities.streaming.checkpoint import Checkpoint
from interp.abilities.streaming.layout import ArraySpec, FileLayout, file_layout
from interp.abilities.streaming.writer import StagedDirectory
from interp.models.weight_files import INDEX, header_bytes
from interp.results.atomic import write_json

_COMPANIONS = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".py"}
_TORCH_NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}


class ModelFiles:
    """Sizes, headers and companions of an output with the shards of `base`.

    With the base's own number format its headers are taken over byte for byte.
    """

    def __init__(self, base: Checkpoint, *, dtype: str | None) -> None:
        self.base = base
        own = {span.dtype for span in base.spans.values() if is_float(span)}
        self.dtype = None if own == {dtype} else dtype
        self._layouts = {
            path: self._layout(path) for path in sorted({s.file for s in base.spans.values()})
        }
        self.sizes = {path.name: layout.size for path, layout in self._layouts.items()}
        self.starts = {
            name: (path.name, start)
            for path, layout in self._layouts.items()
            for name, start in layout.starts.items()
        }

    def write_heads(self, staged: StagedDirectory) -> None:
        """Write the header of every shard."""
        for path, layout in self._layouts.items():
            staged.write(path.name, 0, memoryview(layout.head))

    def write_companions(self, directory: Path) -> None:
        """Copy config, tokenizer, generation config and index, changed where the format is."""
        for file in sorted(self.base.directory.iterdir()):
            if file.is_file() and file.suffix in _COMPANIONS and file.name != FILE:
                shutil.copyfile(file, directory / file.name)
        if self.dtype is None:
            return
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        key = "torch_dtype" if "torch_dtype" in config else "dtype"
        write_json(directory / "config.json", {**config, key: _TORCH_NAMES[self.dtype]})
        if (directory / INDEX).is_file():
            index = json.loads((directory / INDEX).read_text(encoding="utf-8"))
            total = sum(layout.size - len(layout.head) for layout in self._layouts.values())
            index["metadata"] = {**index.get("metadata", {}), "total_size": total}
            write_json(directory / INDEX, index)

    def _layout(self, path: Path) -> FileLayout:
        spans = [span for span in self.base.in_file_order() if span.file == path]
        if self.dtype is None:
            head = header_bytes(path)
            return FileLayout(head, {s.name: s.start for s in spans}, path.stat().st_size)
        return file_layout(
            [ArraySpec(s.name, self.dtype if is_float(s) else s.dtype, s.shape) for s in spans],
            metadata={"format": "pt"},
        )
