"""What every benchmark shares: settings said, sides interleaved, memory sampled, JSON last.

benchmark = Benchmark("capture", __doc__)
arguments = benchmark.parse()
benchmark.say_settings(tokens=50_000)
times = interleave({"ours": ours, "peer": peer}, repeats=5)   # each side returns seconds
benchmark.say_sides(times, unit="s")
benchmark.finish({"capture.over_peer": median_ratio(times["peer"], times["ours"])})
"""

import argparse
import json
import os
import platform
import statistics
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from interp.results.provenance import package_versions

MB = 1_000_000
_SAMPLE_EVERY_S = 0.01


class Summary(NamedTuple):
    """The middle and the ends of the repeats of one side."""

    median: float
    low: float
    high: float


class Benchmark:
    """One benchmark's arguments and output; without `--json` the text is on standard output too."""

    def __init__(self, name: str, description: str | None) -> None:
        self.name = name
        self.parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.{name}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.parser.add_argument(
            "--json", action="store_true", help="only the JSON line on standard output"
        )
        self.parser.add_argument(
            "--cache",
            type=Path,
            default=Path.home() / ".cache" / "interp-benchmarks",
            help="where trained inputs and peers' environments are kept (%(default)s)",
        )
        self._text = sys.stdout

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The parsed arguments; add your own to `self.parser` first."""
        parsed = self.parser.parse_args(arguments)
        self._text = sys.stderr if parsed.json else sys.stdout
        return parsed

    def say(self, text: str) -> None:
        """Print one line for a person."""
        print(text, file=self._text, flush=True)

    def say_settings(self, **settings: object) -> None:
        """Print the settings of this run, the machine and the versions of every package."""
        self.say(f"benchmark {self.name}")
        for name, value in settings.items():
            self.say(f"  {name}: {value}")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.say(f"  machine: {platform.machine()}, {cores} cores, {platform.system()}")
        versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
        self.say(f"  versions: {versions}")

    def say_sides(self, sides: Mapping[str, Sequence[float]], *, unit: str) -> None:
        """Print median and spread of every side."""
        for name, values in sides.items():
            middle, low, high = summarise(values)
            self.say(
                f"  {name}: median {middle:,.3f} {unit}, {low:,.3f} to {high:,.3f}, n {len(values)}"
            )

    def finish(self, bars: Mapping[str, float]) -> None:
        """Print every figure, and the JSON object as the last line of standard output."""
        for name, value in bars.items():
            self.say(f"  {name} = {value:.4g}")
        self._text.flush()
        line = {"name": self.name, "bars": {name: float(value) for name, value in bars.items()}}
        print(json.dumps(line, allow_nan=False), flush=True)


def interleave(
    sides: Mapping[str, Callable[[], float]], *, repeats: int, warm_up: int = 0
) -> dict[str, list[float]]:
    """What each side returned in every round; odd rounds run the sides in reverse order.

    A neighbour's load or a clock that slows then falls on all sides alike. Rounds of `warm_up` come
    first and are thrown away.
    """
    values: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(warm_up + repeats):
        order = list(sides)[:: 1 if round_number % 2 == 0 else -1]
        for name in order:
            value = sides[name]()
            if round_number >= warm_up:
                values[name].append(value)
    return values


def summarise(values: Sequence[float]) -> Summary:
    """Median, smallest and largest of the repeats."""
    return Summary(statistics.median(values), min(values), max(values))


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over rounds of numerator / denominator, taken round by round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def anonymous_bytes(pid: int) -> int:
    """RssAnon of `pid` and all its descendants, in bytes (Linux); 0 for a process that is gone."""
    return sum(_rss_anon(process) for process in [pid, *_descendants(pid)])


def _rss_anon(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(child) for child in children.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in direct:
            found += [child, *_descendants(child)]
    return found


class PeakMemory:
    """The sampled peak of anonymous resident memory of a process tree while the block runs.

    with PeakMemory() as memory: work()
    memory.peak_mb, memory.start_mb, memory.extra_mb    (MB = 10^6 bytes)
    """

    def __init__(self, pid: int | None = None) -> None:
        self.pid = os.getpid() if pid is None else pid
        self.start_mb = self.peak_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def extra_mb(self) -> float:
        """Peak above the memory held when the block was entered."""
        return self.peak_mb - self.start_mb

    def sample(self) -> None:
        """Take one sample now."""
        self.peak_mb = max(self.peak_mb, anonymous_bytes(self.pid) / MB)

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_EVERY_S):
            self.sample()

    def __enter__(self) -> "PeakMemory":
        self.start_mb = self.peak_mb = anonymous_bytes(self.pid) / MB
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()
