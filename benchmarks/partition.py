"""Balanced k-means on the MLP of a 7B-class layer: seconds and memory of one start.

Rows as wide as Llama 2 7B's and Mistral's, 14,336 x 4,096, into 112 experts of 128: random rows
around planted centres (a tenth of each row's squared length), so that a start has something to
find, and again isotropic, where k-means stops where it began. With small experts that happens on
real weights too, which is why rounds and the agreement between starts are printed beside the cost.

The clock covers one start: k-means++ seeding and rounds of exact balanced assignment, in float64.
Memory is the peak of anonymous resident memory above what was there before, and in all.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.harness import Benchmark, PeakMemory
from interp.modules.partition import Partition
from interp.modules.partitioning.weights import partition_by_weights

N_NEURONS, D_MODEL, N_EXPERTS = 14_336, 4_096, 112
SHARE = 0.1
SEED = 0


def planted(n: int, d: int, n_experts: int, share: float) -> tuple[torch.Tensor, np.ndarray]:
    """Float32 rows sqrt(share) * centre + sqrt(1 - share) * noise, and the centre of each."""
    rng = np.random.default_rng(SEED)
    labels = rng.permutation(np.arange(n) % n_experts)
    centres, noise = (_unit(rng.standard_normal((m, d), dtype=np.float32)) for m in (n_experts, n))
    noise *= np.float32(np.sqrt(1 - share))
    noise += np.float32(np.sqrt(share)) * centres[labels]
    return torch.from_numpy(noise), labels


def _unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def timed(work: Callable[[], Partition]) -> tuple[Partition, float, PeakMemory]:
    """What `work` gave, its seconds and its memory."""
    with PeakMemory() as memory:
        start = time.perf_counter()
        found = work()
        seconds = time.perf_counter() - start
    return found, seconds, memory


def main() -> None:
    """Time one start, then two for their agreement; end with the JSON line."""
    benchmark = Benchmark("partition", __doc__)
    add = benchmark.parser.add_argument
    add("--neurons", type=int, default=N_NEURONS)
    add("--width", type=int, default=D_MODEL, help="entries of a row")
    add("--experts", type=int, default=N_EXPERTS)
    asked = benchmark.parse()
    n, d, n_experts = asked.neurons, asked.width, asked.experts
    benchmark.say_settings(
        neurons=n, width=d, experts=n_experts, share=SHARE, threads=torch.get_num_threads()
    )
    bars: dict[str, float] = {}
    # Once on a small layer, so that importing the solver is not part of the figure.
    partition_by_weights(planted(256, 16, 4, 0.5)[0], 4, n_restarts=1)
    for name, share in (("planted", SHARE), ("isotropic", 0.0)):
        rows, labels = planted(n, d, n_experts, share)
        one, seconds, memory = timed(
            lambda r=rows: partition_by_weights(r, n_experts, n_restarts=1)
        )
        two = partition_by_weights(rows, n_experts, n_restarts=2, seed=SEED)
        ari = _ari(labels, one.labels)
        benchmark.say(
            f"  {name}: {seconds:.1f} s a start, peak {memory.peak_mb:,.0f} MB "
            f"({memory.extra_mb:,.0f} above the rows), rounds {two.rounds}, seed-to-seed ARI "
            f"{two.seed_ari.mean:.3f}, ARI with the planted centres {ari:.3f}, inertia "
            f"{one.objective:.1f} against {one.null_objective.mean():.1f} of random partitions"
        )
        bars |= {
            f"partition.{name}_seconds": seconds,
            f"partition.{name}_peak_mb": memory.peak_mb,
            f"partition.{name}_rounds": float(np.mean(two.rounds)),
            f"partition.{name}_seed_ari": two.seed_ari.mean,
            f"partition.{name}_ari": ari,
        }
    benchmark.finish(bars)


def _ari(labels: np.ndarray, found: np.ndarray) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(labels, found))


if __name__ == "__main__":
    main()
