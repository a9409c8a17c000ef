"""Balanced k-means on the MLP of a 7B-class layer: seconds and memory of one start.

Rows as wide as Llama 2 7B's and Mistral's, 14,336 x 4,096, into 112 experts of 128: random rows
around planted centres (a tenth of each row's squared length), so that a start has something to
find, and again isotropic, where k-means stops where it began. With small experts that happens on
real weights too, which is why rounds and the agreement between starts are printed beside the cost.

The clock covers one start in float64: the order of the rows, k-means++ seeding, rounds of exact
balanced assignment; wall-clock seconds, and the CPU's beside them. Memory is the peak of anonymous
resident memory, in all and above what the rows and the libraries held before.
"""

import time
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.harness import Benchmark, PeakMemory
from interp.modules.partitioning.balanced import Starts, balanced_kmeans

N_NEURONS, D_MODEL, N_EXPERTS = 14_336, 4_096, 112
SHARE = 0.1
SEED = 0


def planted(n: int, d: int, n_experts: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Float32 rows sqrt(share) * centre + sqrt(1 - share) * noise, and the centre of each."""
    rng = np.random.default_rng(SEED)
    labels = rng.permutation(np.arange(n) % n_experts)
    centres, noise = (_unit(rng.standard_normal((m, d), dtype=np.float32)) for m in (n_experts, n))
    noise *= np.float32(np.sqrt(1 - share))
    noise += np.float32(np.sqrt(share)) * centres[labels]
    return noise, labels


def _unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class Timed(NamedTuple):
    """Some starts and what they cost."""

    starts: Starts
    seconds: float
    cpu_seconds: float
    memory: PeakMemory


def timed(rows: np.ndarray, n_experts: int, *, n_restarts: int) -> Timed:
    """Balanced k-means with the clock running."""
    with PeakMemory() as memory:
        start, cpu = time.perf_counter(), time.process_time()
        found = balanced_kmeans(rows, n_experts, seed=SEED, n_restarts=n_restarts)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Timed(found, seconds, cpu, memory)


def main() -> None:
    """Time one start, then two for their agreement; end with the JSON line."""
    benchmark = Benchmark("partition", __doc__)
    add = benchmark.parser.add_argument
    add("--neurons", type=int, default=N_NEURONS)
    add("--width", type=int, default=D_MODEL, help="entries of a row")
    add("--experts", type=int, default=N_EXPERTS)
    asked = benchmark.parse()
    n, d, n_experts = asked.neurons, asked.width, asked.experts
    benchmark.say_settings(neurons=n, width=d, experts=n_experts, share=SHARE)
    bars: dict[str, float] = {}
    # Once on a small layer, so that importing the solver is not part of the figure.
    balanced_kmeans(planted(256, 16, 4, 0.5)[0], 4, seed=SEED, n_restarts=1)
    for name, share in (("planted", SHARE), ("isotropic", 0.0)):
        rows, labels = planted(n, d, n_experts, share)
        one = timed(rows, n_experts, n_restarts=1)
        two = balanced_kmeans(rows, n_experts, seed=SEED, n_restarts=2)
        rounds = [start.rounds for start in two.found]
        ari = float(adjusted_rand_score(labels, one.starts.found[0].labels))
        benchmark.say(
            f"  {name}: {one.seconds:.1f} s a start ({one.cpu_seconds:.1f} s of CPU), peak "
            f"{one.memory.peak_mb:,.0f} MB ({one.memory.extra_mb:,.0f} above the rows), rounds of "
            f"two starts {rounds}, their ARI {two.agreement.mean:.3f}, ARI with the planted "
            f"centres {ari:.3f}"
        )
        bars |= {
            f"partition.{name}_seconds": one.seconds,
            f"partition.{name}_cpu_seconds": one.cpu_seconds,
            f"partition.{name}_peak_mb": one.memory.peak_mb,
            f"partition.{name}_rounds": float(np.mean(rounds)),
            f"partition.{name}_seed_ari": two.agreement.mean,
            f"partition.{name}_ari": ari,
        }
    benchmark.finish(bars)


if __name__ == "__main__":
    main()
