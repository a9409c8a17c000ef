"""CPU seconds of `interp --help` and of `import interp`, beyond the interpreter's own start.

Each is a fresh process, interleaved with one that does nothing; the figure is the median over
rounds of the difference. A side that imports torch fails the run.
"""

import os
import statistics
import subprocess
import sys

from benchmarks.harness import Benchmark, interleave

_REPEATS = 15
_HELP = "import sys; sys.argv = ['interp', '--help']; from interp.cli.app import main; main()"
_SIDES = {"bare": "pass", "help": _HELP, "import": "import interp"}
_NO_TORCH = "import atexit, sys; atexit.register(lambda: 'torch' in sys.modules and print('TORCH'))"


def cpu_seconds(code: str) -> float:
    """User and system time of one fresh interpreter that runs `code`."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code!r} exited with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def refuse_torch(code: str) -> None:
    """End the benchmark if `code` imports torch."""
    command = [sys.executable, "-c", f"{_NO_TORCH}; {code}"]
    if "TORCH" in subprocess.run(command, capture_output=True, text=True, check=True).stdout:
        raise SystemExit(f"{code!r} imports torch")


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("startup", __doc__)
    benchmark.parse()
    benchmark.say_settings(repeats=_REPEATS)
    for code in _SIDES.values():
        refuse_torch(code)
    sides = {name: lambda code=code: cpu_seconds(code) for name, code in _SIDES.items()}
    times = interleave(sides, repeats=_REPEATS, warm_up=2)
    benchmark.say_sides(times, unit="s CPU")
    beyond = {
        name: statistics.median(
            side - bare for side, bare in zip(times[name], times["bare"], strict=True)
        )
        for name in ("help", "import")
    }
    benchmark.finish({"startup.help_s": beyond["help"], "startup.import_s": beyond["import"]})


if __name__ == "__main__":
    main()
