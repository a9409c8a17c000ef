"""Plan: what a job reads, writes, holds and takes, pass by pass."""

from dataclasses import asdict, dataclass
from typing import Any

from interp.abilities.planning.rates import Rates

SPARE = 64 << 20
"""Bytes that a disk must have beyond what is written, and a hundredth of it."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One time through the weights, or one training."""

    name: str
    reads: int = 0
    """Bytes asked of the files."""
    writes: int = 0
    """Bytes at most."""
    entries: int = 0
    """Entries of the arithmetic."""
    hashed: int = 0
    """Bytes through SHA-256."""
    operations: int = 0
    """Floating point operations of a training."""
    memory: int
    """Bytes at most, interpreter and libraries included."""

    def seconds(self, rates: Rates) -> tuple[float, float]:
        """The fastest and the slowest: disk and processor work at once, the slower one counts."""
        low, high = (
            max(
                self.reads / rates.read[end] + self.writes / rates.write[end],
                self.entries / rates.compute[end],
                self.hashed / rates.hash[end],
                self.operations / rates.train[end],
            )
            for end in (1, 0)
        )
        return low, high


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole job, before any of it is done."""

    job: str
    model: str
    n: int
    """Entries of the model."""
    n_bytes: int
    """Bytes of its tensors."""
    dtype: str
    exact: bool
    """Whether the bytes are those of real headers and supports, not of supposed ones."""
    passes: tuple[Pass, ...]
    outputs: dict[str, int]
    """Bytes of all that stays on disk, by what it is; at most, where it depends on values."""
    rates: Rates
    notes: tuple[str, ...] = ()

    @property
    def reads(self) -> int:
        """Bytes of all passes."""
        return sum(one.reads for one in self.passes)

    @property
    def writes(self) -> int:
        """Bytes of all passes."""
        return sum(one.writes for one in self.passes)

    @property
    def memory(self) -> int:
        """Peak bytes: of the pass that needs most."""
        return max(one.memory for one in self.passes)

    @property
    def disk(self) -> int:
        """Free bytes that the disk needs: every output, a hundredth more, and 64 MiB."""
        total = sum(self.outputs.values())
        return total + total // 100 + SPARE

    @property
    def seconds(self) -> tuple[float, float]:
        """The fastest and the slowest that is reckoned with."""
        each = [one.seconds(self.rates) for one in self.passes]
        return sum(low for low, _ in each), sum(high for _, high in each)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, sums and times with it."""
        passes = [{**asdict(one), "seconds": list(one.seconds(self.rates))} for one in self.passes]
        return {
            **asdict(self),
            "passes": passes,
            "notes": list(self.notes),
            "reads": self.reads,
            "writes": self.writes,
            "memory": self.memory,
            "disk": self.disk,
            "seconds": list(self.seconds),
        }
