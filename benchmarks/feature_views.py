"""Views of every feature in one pass: memory that does not grow with the rows, and its price.

One million rows of width 256 under 16,384 features (a BatchTopK dictionary as saved: JumpReLU with
one threshold, 32 active a row), with a second site of 1,024 neurons, a label of 4 values and logits
over a vocabulary of 32,000 through a model of that width, loaded before the clock starts.
`encoding alone` reads the same rows in the same batches and calls `sae.encode`. Both run in
processes of their own, of which the anonymous memory is sampled.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from transformer_lens.model_bridge import TransformerBridge
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Benchmark, PeakMemory, median_ratio
from interp.capture.header import COLUMNS, StoreHeader
from interp.capture.manifest import Ending, read_manifest, write_manifest
from interp.capture.store import ActivationStore
from interp.capture.writer import StoreWriter
from interp.dictionaries.architectures import seeded
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.files import open_dictionary, save_dictionary
from interp.dictionaries.views.run import batch_rows, view_features
from interp.models.load import load
from interp.results.atomic import atomic_directory
from interp.results.provenance import Provenance

D_IN, D_SAE, N_ACTIVE, N_NEURONS = 256, 16_384, 32, 1_024
SITE, NEURONS = "blocks.0.hook_resid_post", "blocks.0.mlp.hook_post"
LENGTH, SHARD_ROWS, N_TOKENS, N_LABELS = 128, 32_768, 5_000, 4
D_VOCAB = 32_000
SEED = 0


def main() -> None:
    """Run both sides in turn, large and small, and print the figures."""
    benchmark = Benchmark("feature_views", __doc__)
    benchmark.parser.add_argument("--rows", type=int, default=1_000_000)
    benchmark.parser.add_argument("--repeats", type=int, default=1)
    benchmark.parser.add_argument("--side", choices=("views", "encode"), help="one side, alone")
    arguments = benchmark.parse()
    cache = arguments.cache / "feature_views"
    if arguments.side:
        print(json.dumps(_side(arguments.side, cache, arguments.rows)))
        return
    few = max(arguments.rows // 10, 1)
    benchmark.say_settings(
        rows=f"{arguments.rows:,} and {few:,}",
        dictionary=f"{D_IN} to {D_SAE:,}, {N_ACTIVE} active, batches of {batch_rows(D_SAE):,}",
        neurons=N_NEURONS,
        vocabulary=f"{D_VOCAB:,}",
        threads=torch.get_num_threads(),
    )
    dictionary(cache)
    model(cache)
    for rows in (few, arguments.rows):
        store(cache, rows)
    sides: dict[str, list[dict[str, float]]] = {"views": [], "encode": [], "few": []}
    asked = {"views": arguments.rows, "encode": arguments.rows, "few": few}
    for _ in range(arguments.repeats):
        for name, rows in asked.items():
            found = _own_process("encode" if name == "encode" else "views", arguments.cache, rows)
            benchmark.say(f"  {name}: {found}")
            sides[name].append(found)
    peak, small = (max(run["peak_mb"] for run in sides[name]) for name in ("views", "few"))
    seconds = {name: [run["seconds"] for run in runs] for name, runs in sides.items()}
    benchmark.say_sides(seconds, unit="s")
    benchmark.finish(
        {
            "feature_views.peak_mb": peak,
            "feature_views.memory_growth": peak / small,
            "feature_views.over_encoding": median_ratio(seconds["views"], seconds["encode"]),
        }
    )


def _own_process(side: str, cache: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.feature_views", "--side", side]
    command += ["--rows", str(rows), "--cache", str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _side(side: str, cache: Path, rows: int) -> dict[str, float]:
    sae, opened = dictionary(cache), ActivationStore.open(store(cache, rows))
    bridge = None if side == "encode" else load(model(cache), device="cpu")
    with PeakMemory() as memory:
        start = time.perf_counter()
        said = encode(sae, opened) if bridge is None else views(sae, opened, bridge)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_mb": memory.peak_mb, "active_per_row": said}


@torch.no_grad()
def encode(sae: JumpReLUSAE, opened: ActivationStore) -> float:
    """Read and encode every row; returns active features a row, as counted on the last batch."""
    step, active = batch_rows(D_SAE), float("nan")
    for start in range(0, opened.n_rows, step):
        stop = min(start + step, opened.n_rows)
        rows = opened.rows(SITE, start, stop).astype(np.float32)
        acts = sae.encode(torch.from_numpy(rows))
        if stop == opened.n_rows:
            active = float((acts > 0).sum()) / (stop - start)
    return active


def views(sae: JumpReLUSAE, opened: ActivationStore, bridge: TransformerBridge) -> float:
    """Every view; returns active features a row."""
    found = view_features(sae, opened, model=bridge, neurons=NEURONS)
    return float(found.activity.n_active.sum()) / found.n_rows


def dictionary(cache: Path) -> Any:
    """Random unit features, with the threshold that leaves 32 active on a row of the store."""
    path = cache / "dictionary"
    if not path.exists():
        with torch.random.fork_rng():
            sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=D_IN, d_sae=D_SAE, device="cpu"))
        generator = torch.Generator().manual_seed(SEED)
        decoder = torch.randn(D_SAE, D_IN, generator=generator)
        decoder /= decoder.norm(dim=1, keepdim=True)
        sae.W_dec.data, sae.W_enc.data = decoder, decoder.T.contiguous()
        sae.threshold.data.fill_(_threshold(decoder.numpy()))
        facts = {**vars(DictionaryCard.of(sae)), "site": SITE}
        DictionaryCard(**facts).write_to(sae)
        save_dictionary(sae, path)
    return open_dictionary(path)


def model(cache: Path) -> Path:
    """A directory with a random model of one layer, of the dictionary's width."""
    path = cache / "model"
    if not path.exists():
        config = LlamaConfig(
            vocab_size=D_VOCAB,
            hidden_size=D_IN,
            intermediate_size=N_NEURONS,
            num_hidden_layers=1,
            num_attention_heads=4,
            tie_word_embeddings=False,
        )
        with seeded(SEED), atomic_directory(path) as directory:
            LlamaForCausalLM(config).save_pretrained(directory)
    return path


def _threshold(decoder: np.ndarray) -> float:
    rows = _rows(0, 2048)[SITE].astype(np.float32)
    above = np.sort((rows @ decoder.T).ravel())
    return float(above[-N_ACTIVE * len(rows)])


def store(cache: Path, rows: int) -> Path:
    """A store of that many synthetic rows, written once."""
    path = cache / f"store-{rows}"
    if path.exists():
        return path
    with atomic_directory(path) as directory:
        _write_store(directory, rows)
    return path


def _write_store(path: Path, rows: int) -> None:
    labels = {"language": "int64"}
    header = StoreHeader(
        sites={SITE: (D_IN,), NEURONS: (N_NEURONS,)},
        dtype="float16",
        columns=dict(COLUMNS) | labels,
        asked=rows,
        batch_size=1,
        sequences_per_forward=1,
        sequences_per_shard=SHARD_ROWS // LENGTH,
        length=LENGTH,
        drop_special=False,
        absent_layers={},
        vocabulary_sha256=None,
        fidelity={},
        provenance=Provenance.collect(
            "python -m benchmarks.feature_views",
            model_hash=None,
            corpus_hash=None,
            seed=SEED,
            settings={},
        ),
    )
    header.write(path)
    writer = StoreWriter(path, header, queue_depth=1)
    for index, start in enumerate(range(0, rows, SHARD_ROWS)):
        stop = min(start + SHARD_ROWS, rows)
        writer.begin(index, max_rows=stop - start)
        writer.append(_rows(start, stop), _columns(start, stop))
        sequences = (start // LENGTH, -(-stop // LENGTH))
        writer.commit(sequences=sequences, masked=0, padding=0)
    writer.close()
    ending = Ending(
        asked=rows,
        stored=rows,
        masked=0,
        missing=0,
        padding=0,
        sequences=-(-rows // LENGTH),
        reason="",
    )
    write_manifest(path, read_manifest(path).shards, ending)


def _rows(start: int, stop: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([SEED, start])
    return {
        SITE: rng.standard_normal((stop - start, D_IN), np.float32).astype(np.float16),
        NEURONS: rng.standard_normal((stop - start, N_NEURONS), np.float32).astype(np.float16),
    }


def _columns(start: int, stop: int) -> dict[str, np.ndarray]:
    rng, rows = np.random.default_rng([SEED, start, 1]), np.arange(start, stop)
    document = rows // (2 * LENGTH)
    columns = {
        "token": rng.integers(0, N_TOKENS, stop - start),
        "document": document,
        "sequence": rows // LENGTH,
        "position": rows % LENGTH,
        "is_bos": rows % LENGTH == 0,
        "is_special": np.zeros(stop - start),
        "language": document * 2_654_435_761 // 65_536 % N_LABELS,
    }
    return {n: c.astype((COLUMNS | {"language": "int64"})[n]) for n, c in columns.items()}


if __name__ == "__main__":
    main()
