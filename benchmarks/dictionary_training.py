"""One training step of a TopK dictionary beside sae-lens, dictionary_learning and eai-sparsify.

d_in 768, width 12,288, k 32, batch 4096, float32: every side starts from the same weights, sees the
same batches, with Adam and an auxiliary loss for the same dead features (`--dead`, a share of all;
a negative encoder bias keeps them dead). First 20 steps of ours and of sae-lens's `SAETrainer` are
compared, loss by loss; then steps take turns, one a side and round. `encoder product` is
`x @ W_enc` alone. sae-lens runs at the faster of its settings that works.

The peers' losses are their own (both normalise the auxiliary one, both keep decoder rows at unit
norm); on a CPU eai-sparsify decodes with its eager `embedding_bag`, its Triton kernel needs a GPU.
"""

import copy
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import dictionary_peers
from benchmarks.harness import Benchmark, interleave, median_ratio
from interp.dictionaries.architectures import make
from interp.dictionaries.step import TrainStep

N_BATCHES = 4
N_COMPARED = 20
WARM_UP = 3
TOLERANCE = 1e-3
DEAD_BIAS = -0.5
DEAD_WINDOW = 1000
PEERS = ("dictionary_learning", "sparsify")


def batches_of(arguments: Namespace, generator: torch.Generator) -> Tensor:
    """Rows that are sparse sums of 4 d_in random directions, with noise; norm near sqrt(d_in)."""
    d_in, n_true = arguments.d_in, 4 * arguments.d_in
    directions = torch.randn(n_true, d_in, generator=generator) / d_in**0.5
    rows = N_BATCHES * arguments.batch
    at = torch.randint(0, n_true, (rows, 24), generator=generator)
    size = torch.rand(rows, 24, generator=generator)
    x = torch.nn.functional.embedding_bag(at, directions, mode="sum", per_sample_weights=size)
    x += 0.05 * torch.randn(x.shape, generator=generator)
    x *= (d_in / x.square().sum(dim=-1).mean()).sqrt()
    return x.view(N_BATCHES, arguments.batch, d_in)


def starting_point(arguments: Namespace) -> dict[str, Tensor]:
    """Weights, batches and the dead features, the same for every side."""
    generator = torch.Generator().manual_seed(0)
    sae = make("topk", d_in=arguments.d_in, d_sae=arguments.d_sae, seed=0, k=arguments.k)
    n_dead = round(arguments.dead * arguments.d_sae)
    dead = torch.randperm(arguments.d_sae, generator=generator)[:n_dead]
    start = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    start["b_enc"][dead] = DEAD_BIAS
    return {**start, "dead": dead, "batches": batches_of(arguments, generator)}


class Side:
    """A step function over the same batches, timed; `loss_parts` of its last step."""

    def __init__(self, arguments: Namespace, batches: Tensor, step: Callable[[Tensor], Any]):
        self.device, self.batches, self.one_step = arguments.device, batches, step
        self.n_steps = 0
        self.last: Any = None

    def __call__(self) -> float:
        batch = self.batches[self.n_steps % len(self.batches)]
        self.n_steps += 1
        begin = time.perf_counter()
        self.last = self.one_step(batch)
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - begin


def trainer_config(arguments: Namespace) -> SAETrainerConfig:
    """Constant learning rate, for both."""
    return SAETrainerConfig(
        total_training_samples=10**9,
        train_batch_size_samples=arguments.batch,
        lr=arguments.lr,
        lr_end=arguments.lr,
        dead_feature_window=DEAD_WINDOW,
        device=arguments.device,
    )


def weights_of(start: dict[str, Tensor]) -> dict[str, Tensor]:
    """The dictionary's own tensors."""
    return {name: t for name, t in start.items() if name not in ("dead", "batches")}


def our_side(arguments: Namespace, start: dict[str, Tensor]) -> Side:
    """`TrainStep`, as `interp dictionary train` runs it."""
    sae = make(
        "topk",
        d_in=arguments.d_in,
        d_sae=arguments.d_sae,
        seed=0,
        k=arguments.k,
        device=arguments.device,
    )
    sae.load_state_dict(weights_of(start))
    step = TrainStep(sae, trainer_config(arguments))
    step.n_forward_passes_since_fired[start["dead"]] = DEAD_WINDOW + 1
    return Side(arguments, start["batches"], lambda x: step.step(x).losses)


def sae_lens_side(arguments: Namespace, start: dict[str, Tensor], *, sparse: bool) -> Side:
    """`SAETrainer.step` on sae-lens's own class."""
    config = TopKTrainingSAEConfig(
        d_in=arguments.d_in,
        d_sae=arguments.d_sae,
        k=arguments.k,
        use_sparse_activations=sparse,
        device=arguments.device,
    )
    sae = TopKTrainingSAE(config)
    sae.load_state_dict(weights_of(start))
    trainer = SAETrainer(trainer_config(arguments), sae, data_provider=iter([]))
    trainer.n_forward_passes_since_fired[start["dead"]] = DEAD_WINDOW + 1

    def step(x: Tensor) -> dict[str, Tensor]:
        output = trainer.step(x)
        trainer.n_training_steps += 1
        return {"loss": output.loss.detach(), **output.losses}

    return Side(arguments, start["batches"], step)


def fastest_sae_lens(benchmark: Benchmark, arguments: Namespace, start: dict[str, Tensor]) -> Side:
    """sae-lens with dense or with sparse activations, whichever works and is faster."""
    seconds: dict[bool, float] = {}
    for sparse in (False, True):
        name = f"use_sparse_activations={sparse}"
        try:
            side = sae_lens_side(arguments, start, sparse=sparse)
            seconds[sparse] = min(side() for _ in range(2))
            benchmark.say(f"  sae-lens, {name}: {seconds[sparse]:.2f} s a step")
        except (RuntimeError, ValueError, NotImplementedError, TypeError) as error:
            first = str(error).strip().splitlines()[0][:160]
            benchmark.say(f"  sae-lens, {name}: fails: {type(error).__name__}: {first}")
    best = min(seconds, key=lambda sparse: seconds[sparse])
    benchmark.say(f"  sae-lens is measured with use_sparse_activations={best}")
    return sae_lens_side(arguments, start, sparse=best)


def compare(benchmark: Benchmark, ours: Side, theirs: Side) -> float:
    """The largest relative difference of any loss over the first steps; ends where too large."""
    worst = 0.0
    for number in range(N_COMPARED):
        ours()
        theirs()
        for name, loss in theirs.last.items():
            mine, other = float(ours.last[name]), float(loss)
            worst = max(worst, abs(mine - other) / max(abs(other), 1e-12))
        if number in (0, N_COMPARED - 1):
            parts = ", ".join(f"{name} {float(v):.5g}" for name, v in ours.last.items())
            benchmark.say(f"  step {number + 1}: {parts}")
    benchmark.say(f"  largest relative difference of a loss in {N_COMPARED} steps: {worst:.2g}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"the losses differ from sae-lens's by more than {TOLERANCE}")
    return worst


def start_peers(
    benchmark: Benchmark, arguments: Namespace, start: dict[str, Tensor], place: Path
) -> list[dictionary_peers.Peer]:
    """A worker for each peer."""
    env = dictionary_peers.environment(arguments.cache)
    file = place / "start.safetensors"
    save_file({name: t.cpu().contiguous() for name, t in start.items()}, file)
    settings = {
        "k": arguments.k,
        "lr": arguments.lr,
        "device": arguments.device,
        "threads": arguments.threads,
        "threshold": 10_000_000,
    }
    peers = []
    for name in PEERS:
        peers.append(dictionary_peers.Peer(env, name, file, settings))
        version = dictionary_peers.VERSIONS[name]
        benchmark.say(f"  peer: {version}, torch {peers[-1].about['torch']}")
    return peers


def measure(benchmark: Benchmark, arguments: Namespace, place: Path) -> dict[str, float]:
    """Every side in turns."""
    start = {name: t.to(arguments.device) for name, t in starting_point(arguments).items()}
    theirs = fastest_sae_lens(benchmark, arguments, start)
    ours = our_side(arguments, start)
    worst = compare(benchmark, ours, theirs)
    W_enc = copy.deepcopy(start["W_enc"])
    product = Side(arguments, start["batches"], lambda x: x @ W_enc)
    sides: dict[str, Callable[[], float]] = {
        "ours": ours,
        "encoder product": product,
        "sae-lens": theirs,
    }
    peers = [] if arguments.without_peers else start_peers(benchmark, arguments, start, place)
    sides |= {peer.name: peer.step for peer in peers}
    try:
        times = interleave(sides, repeats=arguments.steps, warm_up=WARM_UP)
    finally:
        for peer in peers:
            peer.close()
    benchmark.say_sides(times, unit="s")
    for name, seconds in times.items():
        if name != "encoder product":
            rate = arguments.batch / sorted(seconds)[len(seconds) // 2]
            benchmark.say(f"  {name}: {rate:,.0f} tokens a second")
    bars = {f"over_{name.replace('-', '_')}": name for name in ("sae-lens", *PEERS)}
    ratios = {
        f"dictionary_training.{bar}": median_ratio(times[name], times["ours"])
        for bar, name in bars.items()
        if name in times
    }
    ratios["dictionary_training.over_encoder_product"] = median_ratio(
        times["ours"], times["encoder product"]
    )
    return {**ratios, "dictionary_training.loss_difference": worst}


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("dictionary_training", __doc__)
    add = benchmark.parser.add_argument
    add("--steps", type=int, default=12, help="measured steps a side (%(default)s)")
    add("--d-in", type=int, default=768, help="width of the site (%(default)s)")
    add("--d-sae", type=int, default=12288, help="features (%(default)s)")
    add("--k", type=int, default=32, help="features on in a row (%(default)s)")
    add("--batch", type=int, default=4096, help="rows of a step (%(default)s)")
    add("--lr", type=float, default=3e-4, help="learning rate (%(default)s)")
    add("--dead", type=float, default=0.05, help="share of dead features (%(default)s)")
    add("--threads", type=int, default=torch.get_num_threads(), help="of every side (%(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(%(default)s)")
    add("--without-peers", action="store_true", help="ours and sae-lens only")
    arguments = benchmark.parse()
    torch.set_num_threads(arguments.threads)
    shown = {key: v for key, v in vars(arguments).items() if key not in ("json", "cache")}
    benchmark.say_settings(**shown)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.cache, prefix="dictionary-") as place:
        benchmark.finish(measure(benchmark, arguments, Path(place)))


if __name__ == "__main__":
    main()
