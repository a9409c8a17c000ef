"""Merging whole bfloat16 models, beside mergekit 0.1.5 on the same files.

A base and two models near it, `--gb` each, in shards. Task arithmetic and TIES (density 0.2), each
by both commands in rounds that take turns: a process from its start to its end, then a sync of what
it wrote. Ours runs with `--preset mergekit`, whose result is mergekit's bit for bit (checked for
task arithmetic; for TIES all but entries of the very size that is cut at), and our default preset
beside it. Ours hashes its inputs and its output, which mergekit does not, and keeps a journal; the
side called "inputs known" finds the inputs' hashes in `--hash-cache`, as every merge of a model
after the first one can. Inputs are in the page cache. Memory is the anonymous memory of a process
and its children.

The MAET transfer runs on the same files (5% of the entries of one model, the other as the
language) beside a plain copy of the same bytes, both inside a process that has started.
`--scaling` measures task arithmetic and TIES at 1, 2, 4 and 8 GB of models together instead.
"""

import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from benchmarks import ability_stream as stream
from benchmarks import mergekit_peer
from benchmarks.harness import Benchmark, PeakMemory, interleave, median_ratio

GB = stream.GB
MODELS = ("base", "ability", "target")
WEIGHTS = (0.6, 0.5)
DENSITY = 0.2
METHODS = ("task_arithmetic", "ties")
SCALES_GB = (1, 2, 4, 8)


def write_models(work: Path, n_bytes: int) -> None:
    """The base and the two models, `n_bytes` each, as directories that transformers could open."""
    tensors = stream.shapes(n_bytes // 2)
    layers = 1 + max(int(name.split(".")[2]) for name in tensors if ".layers." in name)
    for number, name in enumerate(MODELS):
        stream.write_model(work / name, number, tensors)
        config = json.loads((work / name / "config.json").read_text())
        config |= {
            "num_hidden_layers": layers,
            "hidden_size": stream.D_MODEL,
            "intermediate_size": stream.D_MLP,
            "vocab_size": stream.D_VOCAB,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "tie_word_embeddings": False,
        }
        (work / name / "config.json").write_text(json.dumps(config))


def our_command(
    work: Path, out: Path, method: str, preset: str, *, known_hashes: bool
) -> list[str]:
    """Our command line for one merge."""
    interp = shutil.which("interp", path=str(Path(sys.executable).parent)) or "interp"
    models = [str(work / name) for name in MODELS]
    settings = ["--weights", ",".join(map(str, WEIGHTS)), "--preset", preset, "--out", str(out)]
    if method == "ties":
        settings += ["--density", str(DENSITY)]
    if known_hashes:
        settings += ["--hash-cache", str(work / "hashes.json")]
    return [interp, "ability", "merge", method, *models, *settings]


class Runs:
    """Commands run one after the other on the same inputs, and what they cost."""

    def __init__(self, benchmark: Benchmark, work: Path) -> None:
        self.benchmark = benchmark
        self.work = work
        self.peak_mb: dict[str, float] = {}

    def seconds(self, label: str, command: list[str], out: Path) -> float:
        """Wall seconds of a command and a sync of what it wrote to `out`."""
        shutil.rmtree(out, ignore_errors=True)
        os.sync()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = self.work / "log.txt"
        start = time.perf_counter()
        with log.open("w") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, env=os.environ | {"HF_HUB_OFFLINE": "1"}
            )
            try:
                with PeakMemory(process.pid) as memory:
                    process.wait()
            finally:
                process.kill()
        if process.returncode:
            raise SystemExit(f"{label} ended with {process.returncode}: {log.read_text()[-2000:]}")
        sync(out)
        seconds = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.peak_mb[label] = max(self.peak_mb.get(label, 0.0), memory.peak_mb)
        self.benchmark.say(
            f"  {label}: {seconds:.2f} s, {spent:.1f} s of processor time, "
            f"peak {memory.peak_mb:,.0f} MB"
        )
        return seconds


def sync(directory: Path) -> None:
    """Make every file of a directory safe on disk."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def compare(benchmark: Benchmark, arguments: Namespace, work: Path) -> dict[str, float]:
    """Both methods by us and by mergekit."""
    from interp.models.identity import model_identity

    peer = mergekit_peer.environment(arguments.cache)
    benchmark.say(f"  peer: {mergekit_peer.versions(peer)}")
    for name in MODELS:
        model_identity(work / name, cache=work / "hashes.json")
    runs, bars, ratios = Runs(benchmark, work), {}, []
    for method in METHODS:
        sides: dict[str, Callable[[], float]] = {}
        for preset, known in (("mergekit", False), ("mergekit", True), ("exact", False)):
            out = work / f"ours-{preset}"
            command = our_command(work, out, method, preset, known_hashes=known)
            label = f"{method}, ours, {preset}{', inputs known' if known else ''}"
            sides[label] = lambda label=label, command=command, out=out: runs.seconds(
                label, command, out
            )
        theirs = f"{method}, mergekit"
        command = mergekit_peer.merge_command(
            peer,
            work / "config.yml",
            work / "theirs",
            method=method,
            base=work / MODELS[0],
            models=_parameters(work, method),
        )
        sides[theirs] = lambda command=command: runs.seconds(theirs, command, work / "theirs")  # noqa: B023
        repeats = arguments.repeats if method == "task_arithmetic" else arguments.ties_repeats
        times = interleave(sides, repeats=repeats)
        benchmark.say_sides(times, unit="s")
        ours = f"{method}, ours, mergekit"
        bars[f"merge.{method}_speedup"] = median_ratio(times[theirs], times[ours])
        known = times[f"{ours}, inputs known"]
        bars[f"merge.{method}_speedup_inputs_known"] = median_ratio(times[theirs], known)
        ratios.append(runs.peak_mb[ours] / runs.peak_mb[theirs])
        check_same(benchmark, work, method)
    return {**bars, "merge.memory_ratio": max(ratios)}


def _parameters(work: Path, method: str) -> dict[Path, dict]:
    density = {"density": DENSITY} if method == "ties" else {}
    return {
        work / name: {"weight": weight, **density}
        for name, weight in zip(MODELS[1:], WEIGHTS, strict=True)
    }


def check_same(benchmark: Benchmark, work: Path, method: str) -> None:
    """Say in how many entries the two outputs differ; end where they may not."""
    import numpy as np

    from interp.abilities.streaming.checkpoint import Checkpoint

    with Checkpoint(work / "ours-mergekit") as ours, Checkpoint(work / "theirs") as theirs:
        n = sum(span.n_entries for span in ours.spans.values())
        differing = sum(
            int(np.count_nonzero(ours.words(chunk) != theirs.words(chunk)))
            for chunk in ours.chunks()
        )
    benchmark.say(f"  {method}: {differing:,} of {n:,} entries differ from mergekit's")
    if differing > (0 if method == "task_arithmetic" else n // 50):
        raise SystemExit("the outputs are not the same")


def transfer_over_copy(benchmark: Benchmark, arguments: Namespace, work: Path) -> float:
    """The MAET transfer on these files, over a plain copy of the bytes it reads and writes."""
    for name in ("ours-mergekit", "ours-exact", "theirs"):
        shutil.rmtree(work / name, ignore_errors=True)
    stream.locate_change(work)
    command = [sys.executable, "-m", "benchmarks.merge", "--worker", str(work)]
    subprocess.run([*command, "extract"], check=True, stdout=sys.stderr)

    def ours() -> float:
        shutil.rmtree(work / "out", ignore_errors=True)
        os.sync()
        ended = subprocess.run([*command, "transfer"], check=True, capture_output=True, text=True)
        return json.loads(ended.stdout.splitlines()[-1])

    def copy() -> float:
        sizes = [path.stat().st_size for path in stream.files_of(work / "out")]
        os.sync()
        buffer = memoryview(bytearray(stream.PIECE))
        start = time.perf_counter()
        stream.read_all(
            stream.files_of(work / "weights") + stream.files_of(work / "target"), buffer
        )
        stream.copy_all(stream.files_of(work / "base"), sizes, work / "copy", buffer)
        seconds = time.perf_counter() - start
        shutil.rmtree(work / "copy")
        return seconds

    ours()
    times = interleave({"MAET transfer": ours, "plain copy": copy}, repeats=arguments.repeats)
    benchmark.say_sides(times, unit="s")
    return median_ratio(times["MAET transfer"], times["plain copy"])


def scaling(benchmark: Benchmark, arguments: Namespace, work: Path) -> dict[str, float]:
    """How the time of a merge grows with the bytes of its models: 1 is in proportion."""
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    sizes = []
    for wanted in SCALES_GB:
        write_models(work, int(wanted * GB) // len(MODELS))
        files = [path for name in MODELS for path in stream.files_of(work / name)]
        size = sum(path.stat().st_size for path in files) / GB
        sizes.append(size)
        for method in METHODS:
            command = [sys.executable, "-m", "benchmarks.merge", "--worker", str(work), method]
            spent = []
            for _ in range(arguments.repeats):
                os.sync()
                ended = subprocess.run(command, check=True, capture_output=True, text=True)
                spent.append(json.loads(ended.stdout.splitlines()[-1]))
                shutil.rmtree(work / "out")
            seconds[method].append(min(spent))
            benchmark.say(
                f"  {size:.2f} GB, {method}: {min(spent):.2f} s, {min(spent) / size:.2f} a GB"
            )
        for name in MODELS:
            shutil.rmtree(work / name)
    return {f"merge.{name}_exponent": exponent(sizes, times) for name, times in seconds.items()}


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The slope of log seconds over log bytes, by least squares."""
    x = [math.log(size) for size in sizes]
    y = [math.log(one) for one in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return covariance / sum((a - mean_x) ** 2 for a in x)


def worker(work: Path, what: str) -> None:
    """One step in this process, with its imports done first; prints its seconds."""
    import interp.abilities.merge.written  # noqa: F401 - so that merging does not import it
    from interp.abilities.merge import MergeRecipe, merge_models
    from interp.abilities.moving.extract import extract
    from interp.abilities.moving.transfer import transfer

    cache, out = work / "hashes.json", work / "out"
    start = time.perf_counter()
    if what == "extract":
        extract(
            work / "base", work / "ability", work / "weights", mask=work / "mask", hash_cache=cache
        )
    elif what == "transfer":
        transfer(work / "base", work / "weights", out, language=work / "target", hash_cache=cache)
    else:
        recipe = MergeRecipe.of(what, n_models=2, weights=WEIGHTS, density=DENSITY)  # type: ignore[arg-type]
        merge_models(recipe, work / "base", [work / "ability", work / "target"], out)
    print(time.perf_counter() - start)


def needed_bytes(arguments: Namespace) -> int:
    """Disk for the models, three outputs, ability weights, and 1 GB."""
    largest = max(SCALES_GB) / len(MODELS) if arguments.scaling else arguments.gb
    return int(6.5 * largest * GB) + GB


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("merge", __doc__)
    add = benchmark.parser.add_argument
    add("--gb", type=float, default=1.15, help="size of each of the three models (%(default)s)")
    add("--repeats", type=int, default=3, help="rounds of all sides (%(default)s)")
    add(
        "--ties-repeats", type=int, default=1, help="rounds of TIES, slow in mergekit (%(default)s)"
    )
    add("--scaling", action="store_true", help="time over size instead, without mergekit")
    add("--worker", nargs=2, help="(used by the benchmark itself)")
    arguments = benchmark.parse()
    if arguments.worker:
        worker(Path(arguments.worker[0]), arguments.worker[1])
        return
    stream.check_space(arguments.cache, needed_bytes(arguments))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    benchmark.say_settings(
        gb=list(SCALES_GB) if arguments.scaling else arguments.gb, weights=WEIGHTS, density=DENSITY
    )
    with tempfile.TemporaryDirectory(dir=arguments.cache, prefix="merge-") as place:
        work = Path(place)
        if arguments.scaling:
            benchmark.finish(scaling(benchmark, arguments, work))
            return
        write_models(work, int(arguments.gb * GB))
        bars = compare(benchmark, arguments, work)
        bars["merge.maet_over_copy"] = transfer_over_copy(benchmark, arguments, work)
    benchmark.finish(bars)


if __name__ == "__main__":
    main()
