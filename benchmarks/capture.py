"""Capture on a GPT-2-small-shaped model against a bare forward pass and against sae-lens.

One site after seven of twelve blocks: our tokens per second, from the first batch to the last
committed shard, over those of a bare `transformers` forward (eager) that stops at the same block
and over those of sae-lens's CacheActivationsRunner, per token that it stores. Twelve sites: one
pass of ours against the runner's twelve. Memory: anonymous, sampled, above the loaded model, in a
process of its own. On a CPU our capture takes a batch 512 tokens at a time, which the others do
not; a bare forward that does is printed too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark, PeakMemory, interleave, median_ratio

BATCH, LENGTH = 16, 128
LAYERS, D_MODEL, D_VOCAB = 12, 768, 50257
SITE_LAYER = 6
SITE = f"blocks.{SITE_LAYER}.hook_resid_post"
TWELVE = "blocks.*.hook_resid_post"
SEED = 20240611
PER_BATCH = BATCH * LENGTH


def gpt2(attention: str) -> Any:
    """A GPT-2-small-shaped model with random weights from SEED."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0)).eval()
    model.set_attn_implementation(attention)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.02, generator=generator)
    return model


def hooked_transformer() -> Any:
    """The same shape as sae-lens runs it."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config = HookedTransformerConfig(
        n_layers=LAYERS,
        d_model=D_MODEL,
        n_ctx=1024,
        d_head=64,
        n_heads=12,
        d_mlp=4 * D_MODEL,
        d_vocab=D_VOCAB,
        act_fn="gelu_new",
        normalization_type="LN",
        device="cpu",
        seed=SEED,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return HookedTransformer(config).eval()


def token_ids(n_batches: int) -> Any:
    """Random ids, the same for every side."""
    import numpy as np

    rng = np.random.default_rng(SEED)
    return rng.integers(0, D_VOCAB, (n_batches * BATCH, LENGTH))


class Ours:
    """Our capture of ready ids; planning, which checks the model, is timed apart."""

    def __init__(self, directory: Path) -> None:
        from interp.models.load import load

        self.directory = directory
        self.model = load(gpt2("eager"), device="cpu")
        self.check_s: list[float] = []

    def seconds(self, site: str, n_batches: int, watch: PeakMemory | None = None) -> float:
        """First batch to last committed shard, for `n_batches` full batches."""
        from interp.capture.plan import plan_capture
        from interp.capture.run import execute
        from interp.corpus.corpus import Corpus

        corpus = Corpus.from_tokens(token_ids(n_batches), d_vocab=D_VOCAB)
        start = time.perf_counter()
        plan = plan_capture(
            self.model, corpus, [site], max_tokens=n_batches * PER_BATCH, batch_size=BATCH
        )
        self.check_s.append(time.perf_counter() - start)
        with tempfile.TemporaryDirectory(dir=self.directory) as store:
            start = time.perf_counter()
            if watch is None:
                execute(plan, self.model, corpus, store)
            else:
                with watch:
                    execute(plan, self.model, corpus, store)
            return time.perf_counter() - start


class _Stop(Exception):
    """Ends a bare forward pass."""


class BareForward:
    """Plain transformers over the same ids, stopped after SITE_LAYER."""

    def __init__(self, attention: str) -> None:
        self.model = gpt2(attention)
        self.model.transformer.h[SITE_LAYER].register_forward_hook(self._stop)

    def seconds_per_token(self, n_batches: int, sequences: int = BATCH) -> float:
        """Seconds of forward passes of `sequences` sequences each, for a token."""
        import torch

        ids = torch.from_numpy(token_ids(n_batches))
        start = time.perf_counter()
        for part in ids.split(sequences):
            try:
                with torch.no_grad():
                    self.model(part, use_cache=False)
            except _Stop:
                continue
        return (time.perf_counter() - start) / ids.numel()

    @staticmethod
    def _stop(*_: object) -> None:
        raise _Stop


class SaeLens:
    """sae-lens's runner on a ready model; it rounds up to whole buffers of `buffer_batches`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.model = hooked_transformer()

    def seconds_per_token(self, layer: int, n_batches: int, buffer_batches: int) -> float:
        """Seconds of `run()` over the tokens that it stored."""
        from datasets import Dataset, disable_progress_bars
        from sae_lens import cache_activations_runner as module  # pyright: ignore[reportMissingImports]
        from sae_lens.config import CacheActivationsRunnerConfig  # pyright: ignore[reportMissingImports]

        disable_progress_bars()
        module.load_model = lambda **_: self.model
        module.tqdm = lambda iterable, **_: iterable
        ids = Dataset.from_dict({"tokens": token_ids(n_batches)}).with_format("torch")
        with tempfile.TemporaryDirectory(dir=self.directory) as store:
            config = CacheActivationsRunnerConfig(
                dataset_path="ready ids",
                model_name="random",
                model_batch_size=BATCH,
                hook_name=f"blocks.{layer}.hook_resid_post",
                d_in=D_MODEL,
                training_tokens=n_batches * PER_BATCH,
                context_size=LENGTH,
                new_cached_activations_path=store,
                shuffle=False,
                device="cpu",
                buffer_size_gb=buffer_batches * PER_BATCH * D_MODEL * 4 / 1e9,
                prepend_bos=False,
                streaming=False,
            )
            warnings.simplefilter("ignore")
            runner = module.CacheActivationsRunner(config, override_dataset=ids)
            start = time.perf_counter()
            stored = len(runner.run()) * LENGTH
            return (time.perf_counter() - start) / stored


def measured_memory(cache: Path, n_batches: int) -> float:
    """Peak megabytes above the loaded model of a capture in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.capture", "--cache", str(cache)]
    command += ["--memory-of", str(n_batches)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])["extra_mb"]


def memory_child(cache: Path, n_batches: int) -> None:
    """What `measured_memory` starts."""
    ours = Ours(cache)
    memory = PeakMemory()
    memory.sample()
    loaded = memory.peak_mb
    ours.seconds(SITE, n_batches, memory)
    print(json.dumps({"extra_mb": memory.peak_mb - loaded}))


def one_site(
    benchmark: Benchmark, arguments: argparse.Namespace, ours: Ours, peer: SaeLens
) -> dict[str, float]:
    """Tokens per second at one site over the bare forward's and the peer's."""
    n, few = arguments.batches, max(arguments.batches // 5, 1)
    eager, sdpa = BareForward("eager"), BareForward("sdpa")
    sides: dict[str, Callable[[], float]] = {
        "ours": lambda: ours.seconds(SITE, n) / (n * PER_BATCH),
        "bare forward, eager": lambda: eager.seconds_per_token(n),
        "sae-lens": lambda: peer.seconds_per_token(SITE_LAYER, n, arguments.buffer_batches),
        "bare forward, sdpa": lambda: sdpa.seconds_per_token(few),
        "bare forward, eager, 4 sequences at a time": lambda: eager.seconds_per_token(few, 4),
    }
    # The first forward of a model is slow; it is no part of anybody's rate.
    ours.seconds(SITE, 1)
    eager.seconds_per_token(1)
    sdpa.seconds_per_token(1)
    peer.seconds_per_token(SITE_LAYER, 1, 1)
    spent = interleave(sides, repeats=arguments.repeats)
    rates = {name: [1 / value for value in values] for name, values in spent.items()}
    benchmark.say(f"one site, {n * PER_BATCH:,} tokens:")
    benchmark.say_sides(rates, unit="tokens/s")
    for name in ("bare forward, sdpa", "bare forward, eager, 4 sequences at a time"):
        benchmark.say(f"  over {name}: {median_ratio(rates['ours'], rates[name]):.3f}")
    return {
        "capture.over_bare_forward": median_ratio(rates["ours"], rates["bare forward, eager"]),
        "capture.over_sae_lens": median_ratio(rates["ours"], rates["sae-lens"]),
    }


def twelve_sites(
    benchmark: Benchmark, arguments: argparse.Namespace, ours: Ours, peer: SaeLens
) -> dict[str, float]:
    """One pass for twelve sites over the peer's twelve runs."""
    n = arguments.site_batches
    sides: dict[str, Callable[[], float]] = {
        "ours, one pass": lambda: ours.seconds(TWELVE, n) / (n * PER_BATCH),
        "sae-lens, twelve runs": lambda: sum(
            peer.seconds_per_token(layer, n, n) for layer in range(LAYERS)
        ),
    }
    spent = interleave(sides, repeats=arguments.site_repeats)
    benchmark.say(f"twelve sites, {n * PER_BATCH:,} tokens:")
    benchmark.say_sides(spent, unit="s/token")
    ratio = median_ratio(spent["sae-lens, twelve runs"], spent["ours, one pass"])
    return {"capture.sites_over_sae_lens": ratio}


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("capture", __doc__)
    add = benchmark.parser.add_argument
    add("--batches", type=int, default=25, help="batches at one site (%(default)s: 51,200 tokens)")
    add("--repeats", type=int, default=2, help="rounds at one site")
    add("--buffer-batches", type=int, default=5, help="the peer's buffer")
    add("--site-batches", type=int, default=5, help="batches at twelve sites")
    add("--site-repeats", type=int, default=1, help="rounds at twelve sites")
    add("--memory-batches", type=int, default=6, help="batches; memory is taken at four times too")
    add("--memory-of", type=int, help=argparse.SUPPRESS)
    arguments = benchmark.parse()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    arguments.cache.mkdir(parents=True, exist_ok=True)
    if arguments.memory_of:
        memory_child(arguments.cache, arguments.memory_of)
        return
    benchmark.say_settings(
        model=f"GPT-2 small, {LAYERS} layers, {D_MODEL} wide, random weights, seed {SEED}",
        batch=f"{BATCH} x {LENGTH}, float32",
        one_site=f"{SITE}, {arguments.batches} batches, {arguments.repeats} rounds",
        twelve_sites=f"{TWELVE}, {arguments.site_batches} batches, {arguments.site_repeats} rounds",
        memory=f"{arguments.memory_batches} and {4 * arguments.memory_batches} batches",
    )
    quarter = measured_memory(arguments.cache, arguments.memory_batches)
    whole = measured_memory(arguments.cache, 4 * arguments.memory_batches)
    benchmark.say(f"peak above the loaded model: {quarter:.0f} MB, {whole:.0f} MB for four times")
    ours, peer = Ours(arguments.cache), SaeLens(arguments.cache)
    bars = {
        **one_site(benchmark, arguments, ours, peer),
        **twelve_sites(benchmark, arguments, ours, peer),
        "capture.extra_memory_mb": whole,
        "capture.memory_growth": whole / quarter,
        "capture.check_s": sorted(ours.check_s)[len(ours.check_s) // 2],
    }
    benchmark.finish(bars)


if __name__ == "__main__":
    main()
