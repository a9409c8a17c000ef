"""LowRankAdapter: an ability as a PEFT adapter, and what the low rank costs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from interp.results.atomic import write_json
from interp.results.errors import CorruptFile
from interp.results.finding import HEADER, read_header
from interp.results.provenance import Provenance

SCHEMA = "interp.adapter/1"
WARN_ABOVE = 0.3


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well one tensor's weights fit the rank."""

    error: float
    """|delta - BA| / |delta|, Frobenius norms; 0 where delta is zero."""
    flat_error: float
    """The same where every singular value is equal: what the rank explains by its size alone."""
    norm: float
    """|delta|."""


@dataclass(frozen=True, kw_only=True)
class LowRankAdapter:
    """An ability as a PEFT adapter, and what the low rank costs."""

    rank: int
    error: float
    """|delta - adapter| / |delta| over all tensors; what is left out counts in full."""
    flat_error: float
    """The same where every singular value of every matrix is equal."""
    tensors: dict[str, Fit]
    """Every tensor that is approximated."""
    saved: tuple[str, ...]
    """Tensors that the adapter holds whole, of base and ability together."""
    left_out: tuple[str, ...]
    """Tensors whose weights are in no part of the adapter."""
    base: str
    """Root hash of the model that the adapter belongs to."""
    weights: str
    """Hash of the ability weights."""
    provenance: Provenance

    @property
    def warning(self) -> str | None:
        """What to know before using it; None where the error is small."""
        if self.error <= WARN_ABOVE:
            return None
        return (
            f"rank {self.rank} misses {self.error:.2f} of the weights' norm (a flat spectrum: "
            f"{self.flat_error:.2f}): sparse weights are not of low rank, raise --rank or keep "
            "the weights as they are"
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "provenance": self.provenance.to_json()}

    def save(self, directory: Path) -> None:
        """Write the header beside the adapter's files."""
        write_json(directory / HEADER, {"schema": SCHEMA, **self.to_json()})

    @classmethod
    def load(cls, directory: Path) -> "LowRankAdapter":
        """The header beside an adapter. BadInput if there is none, CorruptFile if it is broken."""
        header = read_header(directory, schema=SCHEMA)
        try:
            fields = {name: header[name] for name in cls.__dataclass_fields__}
            fields["tensors"] = {name: Fit(**one) for name, one in header["tensors"].items()}
            fields["saved"], fields["left_out"] = tuple(header["saved"]), tuple(header["left_out"])
            return cls(**{**fields, "provenance": Provenance.from_json(header["provenance"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"the header of {directory} lacks or garbles {error}") from error
