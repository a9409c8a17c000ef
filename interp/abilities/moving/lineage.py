"""Lineage: which models a directory that we wrote came from, in its `interp.json`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.results.atomic import write_json
from interp.results.errors import CorruptFile
from interp.results.provenance import Provenance

SCHEMA = "interp.model/1"
FILE = "interp.json"


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Where a model's weights come from."""

    root: str
    """Root hash of the weights that this file was written for."""
    ancestors: tuple[str, ...]
    """Root hashes of the models it was made from by adding weights or training, nearest first."""
    recipe: dict[str, Any]
    """How it was made; JSON values only."""
    provenance: Provenance

    def save(self, directory: Path) -> Path:
        """Write `interp.json` into a model directory."""
        content = {
            "schema": SCHEMA,
            "root": self.root,
            "ancestors": list(self.ancestors),
            "recipe": self.recipe,
            "provenance": self.provenance.to_json(),
        }
        write_json(directory / FILE, content)
        return directory / FILE

    @classmethod
    def load(cls, directory: Path) -> "Lineage | None":
        """The lineage of a model directory; None where we did not write it."""
        file = directory / FILE
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise CorruptFile(f"{file} is {content['schema']!r}, expected {SCHEMA!r}: upgrade")
            return cls(
                root=content["root"],
                ancestors=tuple(content["ancestors"]),
                recipe=content["recipe"],
                provenance=Provenance.from_json(content["provenance"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CorruptFile(f"{file} lacks or garbles {error}: delete it") from error


def known_ancestors(directory: Path, root: str) -> tuple[str, ...]:
    """The ancestors of the weights with this root; none if `interp.json` tells of other weights."""
    lineage = Lineage.load(directory)
    return lineage.ancestors if lineage is not None and lineage.root == root else ()
