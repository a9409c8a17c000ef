"""Transferred: a model that was written, and what makes it differ from its base."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.abilities.moving.recipe import SimilaritySupport
from interp.abilities.undoing.undo_record import UndoKind


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """Cosine between ability and language weights of one tensor."""

    on_mask: float
    """Over the entries of the ability alone; NaN where either side is zero there."""
    on_all: float
    """Over the whole tensor; NaN where either side is zero. A tensor with few entries is near 0
    here by construction: the size is at most sqrt(energy_inside)."""
    energy_inside: float
    """Share of the language weights' squared norm that lies on the ability's entries."""

    def cosine(self, support: SimilaritySupport) -> float:
        """The cosine over the support asked for."""
        return self.on_mask if support == "mask" else self.on_all


@dataclass(frozen=True, kw_only=True)
class SelectionNull:
    """The mean cosine of the selected tensors beside that of random ones matched for size.

    Matched: as many of every type of tensor. The selection ranks by this very cosine, so the
    distance says how far apart the tensors lie, not that the selection helps.
    """

    mean: float
    """Of the selected tensors."""
    null_mean: float
    """Over the random draws."""
    null_interval: tuple[float, float]
    """Between which 95% of the draws lie."""
    n_draws: int


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """A model that was written, and what makes it differ from its base."""

    path: Path
    root: str
    """Root hash of its weights."""
    n: int
    """Entries in all."""
    changed: int
    """Entries that differ from the base."""
    selected: tuple[tuple[str, ...], ...]
    """For every ability the tensors it was added to, of those it has weights in."""
    similarity: tuple[dict[str, Similarity], ...]
    """For every ability its tensors' likeness to the language weights; empty if none was needed."""

    with_weights: tuple[int, ...]
    """For every ability, how many tensors it has weights in."""
    null: tuple[SelectionNull | None, ...]
    """For every ability what random tensors of the same types give; None without a selection."""
    rows_left: int
    """Rows of the token tables that stay: padding, and tokens that another side does not have."""
    saturated: int
    """Sums put at the end of the number format's range."""
    undo: UndoKind
    """full: the base's bits are kept inside. base: more than half changed, so copy the base."""
    undo_bytes: int
    """What keeping them costs on disk."""

    @property
    def share_changed(self) -> float:
        """Entries that differ from the base, over all."""
        return self.changed / self.n if self.n else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; a cosine that is not defined is null."""
        return {
            "path": str(self.path),
            "root": self.root,
            "n": self.n,
            "changed": self.changed,
            "share_changed": self.share_changed,
            "selected": [list(names) for names in self.selected],
            "null": [one and asdict(one) for one in self.null],
            "rows_left": self.rows_left,
            "saturated": self.saturated,
            "undo": self.undo,
            "undo_bytes": self.undo_bytes,
            "similarity": [similarity_rows(one) for one in self.similarity],
        }


def similarity_rows(similarity: dict[str, Similarity]) -> list[dict[str, Any]]:
    """One row a tensor, for a table or JSON; what was not measured is None."""
    return [
        {
            "tensor": name,
            **{key: None if value != value else value for key, value in asdict(one).items()},
        }
        for name, one in similarity.items()
    ]
