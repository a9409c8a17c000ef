"""MergedModel: a merge of whole models that was written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.abilities.merge.recipe import MergeRecipe
from interp.results.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class MergedModel:
    """A merge of whole models that was written, and what makes it differ from its base."""

    path: Path
    root: str
    """Root hash of its weights."""
    n: int
    """Entries in all."""
    changed: int
    """Entries that differ from the base."""
    recipe: MergeRecipe
    provenance: Provenance

    @property
    def share_changed(self) -> float:
        """Entries that differ from the base, over all."""
        return self.changed / self.n if self.n else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "path": str(self.path),
            "root": self.root,
            "n": self.n,
            "changed": self.changed,
            "share_changed": self.share_changed,
            "recipe": self.recipe.to_json(),
        }
