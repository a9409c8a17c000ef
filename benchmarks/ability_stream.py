"""Extraction and transfer on sharded bfloat16 checkpoints, beside a plain copy of the same bytes.

Four synthetic models of one architecture (base, ability, language reference, target), `--gb` of
them together. Ours, in a process of its own: extraction of 5% of the entries (base, ability,
reference -> weights), then transfer (base, target, weights -> model). The copy reads what ours
reads, writes as many bytes to as many files, and syncs them. Both start with the inputs out of the
page cache (`--warm`: in it). Hashing the inputs, which makes the lineage, is timed apart.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import MB, Benchmark, PeakMemory, interleave, median_ratio

GB = 1_000_000_000
MODELS = ("base", "ability", "reference", "target")
SHARE = 0.05
SEED = 20241
SHARD_BYTES = 500 * MB
PIECE = 1 << 22
D_MODEL, D_MLP, D_VOCAB = 2048, 5632, 16_384
# Weights (4 bytes at 5% of the entries, a bit for every entry), the mask, and room to breathe.
EXTRA_PER_ENTRY = 4 * SHARE + 1 / 8 + 1 / 8


def shapes(n_entries: int) -> dict[str, tuple[int, ...]]:
    """Tensors of a Llama-like decoder, as many layers as it takes to hold `n_entries` or more."""
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (D_VOCAB, D_MODEL)}
    total, layer = 2 * D_VOCAB * D_MODEL, 0
    while total < n_entries:
        at = f"model.layers.{layer}"
        part = {f"{at}.self_attn.{p}_proj.weight": (D_MODEL, D_MODEL) for p in "qkvo"}
        part |= {f"{at}.mlp.{p}_proj.weight": (D_MLP, D_MODEL) for p in ("gate", "up")}
        part |= {f"{at}.mlp.down_proj.weight": (D_MODEL, D_MLP)}
        part |= {f"{at}.{p}_layernorm.weight": (D_MODEL,) for p in ("input", "post_attention")}
        tensors |= part
        total += 4 * D_MODEL**2 + 3 * D_MODEL * D_MLP + 2 * D_MODEL
        layer += 1
    return {**tensors, "model.norm.weight": (D_MODEL,), "lm_head.weight": (D_VOCAB, D_MODEL)}


def shards(tensors: dict[str, tuple[int, ...]]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Consecutive tensors, up to the size of a shard."""
    part: dict[str, tuple[int, ...]] = {}
    size = 0
    for name, shape in tensors.items():
        n_bytes = 2 * entries_of(shape)
        if part and size + n_bytes > SHARD_BYTES:
            yield part
            part, size = {}, 0
        part[name] = shape
        size += n_bytes
    yield part


def entries_of(shape: tuple[int, ...]) -> int:
    """Numbers in a tensor."""
    n = 1
    for size in shape:
        n *= size
    return n


def write_model(directory: Path, number: int, tensors: dict[str, tuple[int, ...]]) -> None:
    """One model: the same base numbers in each, and changes of its own to them."""
    import numpy as np
    import torch

    from interp.abilities.streaming.layout import ArraySpec, file_layout
    from interp.models.weight_files import INDEX

    directory.mkdir(parents=True)
    generator = torch.Generator().manual_seed(SEED)
    common = torch.randn(2 * PIECE, generator=generator) * 0.02
    generator = torch.Generator().manual_seed(SEED + number)
    change = torch.randn(2 * PIECE, generator=generator) * (0.002 if number else 0.0)
    starts = np.random.default_rng(SEED)
    weight_map = {}
    for i, part in enumerate(shards(tensors)):
        file = f"model-{i + 1:05d}.safetensors"
        layout = file_layout(ArraySpec(name, "BF16", shape) for name, shape in part.items())
        with (directory / file).open("wb") as handle:
            handle.write(layout.head)
            for name, shape in part.items():
                weight_map[name] = file
                for done in range(0, entries_of(shape), PIECE):
                    n = min(PIECE, entries_of(shape) - done)
                    a, b = starts.integers(0, PIECE, 2)
                    numbers = common[a : a + n] + change[b : b + n]
                    handle.write(numbers.bfloat16().view(torch.uint16).numpy().data)
            handle.flush()
            os.fsync(handle.fileno())
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(config))


def locate_change(work: Path) -> None:
    """The mask of the most changed entries, streamed."""
    from interp.abilities.masks.mask import NeuronMask
    from interp.abilities.streaming.change import absolute_change
    from interp.abilities.streaming.checkpoint import Checkpoint
    from interp.abilities.streaming.topk import count_of_share, top_entries
    from interp.models.identity import model_identity
    from interp.results.provenance import Provenance

    identity = model_identity(work / "base", cache=work / "hashes.json")
    with Checkpoint(work / "base") as base, Checkpoint(work / "ability") as ability:
        named = {name: span.shape for name, span in base.spans.items()}
        k = count_of_share(identity.n, SHARE)
        chosen = top_entries(named, absolute_change(base, ability), k=k)
    mask = NeuronMask(
        tensors=chosen.supports,
        level="entry",
        recipe={"locator": "change", "k1": SHARE},
        base=identity,
        provenance=Provenance.collect(
            "benchmark", model_hash=identity.root, corpus_hash=None, seed=SEED, settings={}
        ),
        threshold=chosen.threshold,
        histogram=chosen.histogram,
    )
    mask.save(work / "mask")


def ours(work: Path, *, warm: bool, k2: float) -> None:
    """Hash, extract and transfer in this process, and print the seconds of each."""
    from interp.abilities.moving.extract import extract
    from interp.abilities.moving.transfer import transfer
    from interp.models.identity import model_identity

    cache = work / "hashes.json"
    start = time.perf_counter()
    for name in MODELS:
        model_identity(work / name, cache=cache)
    hashed = time.perf_counter()
    if not warm:
        forget(work)
    begun = time.perf_counter()
    weights = extract(
        work / "base",
        work / "ability",
        work / "weights",
        general=work / "reference",
        mask=work / "mask",
        hash_cache=cache,
    )
    extracted = time.perf_counter()
    made = transfer(
        work / "base", weights, work / "out", language=work / "target", k2=k2, hash_cache=cache
    )
    ended = time.perf_counter()
    result = {
        "hash_s": hashed - start,
        "extract_s": extracted - begun,
        "transfer_s": ended - extracted,
        "share_changed": made.share_changed,
    }
    print(json.dumps(result))


def files_of(directory: Path) -> list[Path]:
    """The files of a directory that count: weights and data."""
    return sorted(directory.glob("*.safetensors"))


def forget(work: Path) -> None:
    """Ask the kernel to drop the inputs from the page cache (Linux)."""
    if not hasattr(os, "posix_fadvise"):
        return
    os.sync()
    for path in work.rglob("*.safetensors"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_all(paths: list[Path], buffer: memoryview) -> None:
    """Read files and throw the bytes away."""
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def copy_all(sources: list[Path], sizes: list[int], place: Path, buffer: memoryview) -> None:
    """Read the sources in full, write files of these sizes from their bytes, and sync those."""
    place.mkdir()
    for i, source in enumerate(sources):
        left = sizes[i] if i < len(sizes) else 0
        with source.open("rb", buffering=0) as file, (place / f"{i}").open("wb", 0) as copy:
            while n := file.readinto(buffer):
                left -= copy.write(buffer[: min(n, max(left, 0))]) or 0
            copy.flush()
            os.fsync(copy.fileno())


def plain_copy(work: Path, written: dict[str, list[int]], *, warm: bool) -> float:
    """Seconds to read what ours reads and to write and sync what it writes."""
    if not warm:
        forget(work)
    buffer = memoryview(bytearray(PIECE))
    start = time.perf_counter()
    read_all([*files_of(work / "mask"), *files_of(work / "reference")], buffer)
    read_all(files_of(work / "ability"), buffer)
    copy_all(files_of(work / "base"), written["weights"], work / "copy-weights", buffer)
    read_all([*files_of(work / "copied"), *files_of(work / "target")], buffer)
    copy_all(files_of(work / "base"), written["out"], work / "copy-out", buffer)
    seconds = time.perf_counter() - start
    shutil.rmtree(work / "copy-weights")
    shutil.rmtree(work / "copy-out")
    return seconds


class Sides:
    """Both sides of one run, over the same inputs."""

    def __init__(self, benchmark: Benchmark, work: Path, arguments: Namespace) -> None:
        self.benchmark = benchmark
        self.work = work
        self.arguments = arguments
        self.peak_mb = 0.0
        self.hash_s: list[float] = []
        self.written: dict[str, list[int]] = {}

    def ours(self) -> float:
        """Seconds of extraction and transfer, in a process that ends with them."""
        command = [sys.executable, "-m", "benchmarks.ability_stream", "--worker", str(self.work)]
        command += ["--k2", str(self.arguments.k2), *(["--warm"] if self.arguments.warm else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            with PeakMemory(process.pid) as memory:
                output, _ = process.communicate()
        finally:
            process.kill()
        if process.returncode:
            raise SystemExit(f"extraction and transfer ended with {process.returncode}")
        result = json.loads(output.splitlines()[-1])
        self.peak_mb = max(self.peak_mb, memory.peak_mb)
        self.hash_s.append(result["hash_s"])
        self.written = {
            name: [file.stat().st_size for file in files_of(self.work / name)]
            for name in ("weights", "out")
        }
        self.benchmark.say(
            f"  ours: extract {result['extract_s']:.1f} s, transfer {result['transfer_s']:.1f} s, "
            f"hashing before {result['hash_s']:.1f} s, peak {memory.peak_mb:,.0f} MB, "
            f"share of entries changed {result['share_changed']:.3f}"
        )
        shutil.rmtree(self.work / "copied", ignore_errors=True)
        (self.work / "weights").rename(self.work / "copied")
        shutil.rmtree(self.work / "out")
        os.sync()
        return result["extract_s"] + result["transfer_s"]

    def copy(self) -> float:
        """Seconds of the plain copy."""
        seconds = plain_copy(self.work, self.written, warm=self.arguments.warm)
        self.benchmark.say(f"  copy: {seconds:.1f} s")
        os.sync()
        return seconds


def needed_bytes(tensors: dict[str, tuple[int, ...]]) -> int:
    """Disk for the four models, the mask, one result at a time, and 1 GB."""
    n = sum(entries_of(shape) for shape in tensors.values())
    return int(2 * n * 5 + 2 * EXTRA_PER_ENTRY * n) + GB


def check_space(place: Path, needed: int) -> None:
    """End with the bytes needed where the disk has fewer."""
    place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise SystemExit(f"needs {needed:,} bytes in {place}, which has {free:,}: lower --gb")


def measure(benchmark: Benchmark, arguments: Namespace, work: Path) -> None:
    """Make the inputs, run both sides in turn, and print the figures."""
    tensors = shapes(int(arguments.gb * GB / len(MODELS) / 2))
    start = time.perf_counter()
    for number, name in enumerate(MODELS):
        write_model(work / name, number, tensors)
    made = time.perf_counter()
    locate_change(work)
    benchmark.say(
        f"  inputs made in {made - start:.1f} s, mask located in {time.perf_counter() - made:.1f} s"
    )
    sides = Sides(benchmark, work, arguments)
    times = interleave({"ours": sides.ours, "copy": sides.copy}, repeats=arguments.repeats)
    benchmark.say_sides({**times, "hashing, once": sides.hash_s[:1]}, unit="s")
    benchmark.finish(
        {
            "ability_stream.peak_mb": sides.peak_mb,
            "ability_stream.over_copy": median_ratio(times["ours"], times["copy"]),
        }
    )


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("ability_stream", __doc__)
    add = benchmark.parser.add_argument
    add("--gb", type=float, default=8.0, help="size of the four models together (%(default)s)")
    add("--repeats", type=int, default=3, help="rounds of both sides (%(default)s)")
    add("--k2", type=float, default=1.0, help="share of tensors selected; below 1 reads once more")
    add("--warm", action="store_true", help="leave the inputs in the page cache")
    add("--worker", type=Path, help="(used by the benchmark itself)")
    arguments = benchmark.parse()
    if arguments.worker:
        ours(arguments.worker, warm=arguments.warm, k2=arguments.k2)
        return
    needed = needed_bytes(shapes(int(arguments.gb * GB / len(MODELS) / 2)))
    check_space(arguments.cache, needed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    benchmark.say_settings(
        gb=arguments.gb, share=SHARE, k2=arguments.k2, warm=arguments.warm, seed=SEED
    )
    with tempfile.TemporaryDirectory(dir=arguments.cache, prefix="ability-stream-") as work:
        measure(benchmark, arguments, Path(work))


if __name__ == "__main__":
    main()
