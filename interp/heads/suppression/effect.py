"""SuppressionEffect: the share of a head's effect on predictions that copy suppression explains."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from interp.heads.columns import Head
from interp.results.errors import CorruptFile
from interp.results.finding import load_finding, save_finding
from interp.results.provenance import Provenance
from interp.results.tables import html_table, text_table

SCHEMA = "interp.copy-suppression/1"
_ARRAYS = ("explained", "interval", "null", "over_null", "kl_ablated", "kl_preserved")
_HEADING = ("head", "explained", "95% interval", "other tokens", "over null", "KL mean-ablated")


@dataclass(frozen=True, kw_only=True)
class SuppressionEffect:
    """By head: 1 - KL(p || p preserved) / KL(p || p mean-ablated), and what chance gives.

    1: the predictions are as with the whole head; 0: as with its mean output; below 0: further off.
    """

    heads: tuple[Head, ...]
    explained: Float[np.ndarray, " heads"]
    """NaN where mean ablation changes no prediction."""
    interval: Float[np.ndarray, "heads 2"]
    """95% bootstrap over sequences."""
    null: Float[np.ndarray, "heads draws"]
    """The same with every source's token exchanged for another of the sequence."""
    over_null: Float[np.ndarray, "heads 3"]
    """`explained` less the mean null, with its interval on the same draws of sequences."""
    kl_ablated: Float[np.ndarray, " heads"]
    """Nats a position."""
    kl_preserved: Float[np.ndarray, " heads"]
    n_positions: int
    n_sequences: int
    provenance: Provenance
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write the finding, whole or not at all."""
        header = {
            "heads": [list(head) for head in self.heads],
            "n_positions": self.n_positions,
            "n_sequences": self.n_sequences,
            "settings": self.settings,
            "provenance": self.provenance.to_json(),
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return save_finding(
            Path(path), schema=SCHEMA, header=header, arrays=arrays, overwrite=overwrite
        )

    @classmethod
    def load(cls, path: Path | str) -> "SuppressionEffect":
        """A saved finding. Raises BadInput if it is another, CorruptFile if it was altered."""
        header, arrays = load_finding(Path(path), schema=SCHEMA)
        try:
            return cls(
                heads=tuple(Head(*pair) for pair in header["heads"]),
                **{name: arrays[name] for name in _ARRAYS},
                n_positions=header["n_positions"],
                n_sequences=header["n_sequences"],
                settings=header["settings"],
                provenance=Provenance.from_json(header["provenance"]),
            )
        except (KeyError, TypeError) as error:
            raise CorruptFile(f"{path} lacks or garbles {error}: measure it again") from error

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Heading and lines, a head each."""
        return _HEADING, [self._line(i) for i in range(len(self.heads))]

    def _line(self, i: int) -> tuple[str, ...]:
        low, high = self.interval[i]
        over, over_low, over_high = self.over_null[i]
        return (
            str(self.heads[i]),
            f"{self.explained[i]:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{self.null[i].mean():.3f}",
            f"{over:.3f} ({over_low:.3f} to {over_high:.3f})",
            f"{self.kl_ablated[i]:.3g} nats",
        )

    def _notes(self) -> list[str]:
        return [f"{self.n_positions} positions of {self.n_sequences} sequences"]

    def __str__(self) -> str:
        return text_table(*self.table(), self._notes())

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self._notes())
