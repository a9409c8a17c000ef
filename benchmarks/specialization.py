"""Average precision of 16,384 neurons by 32 functions on 50,000 tokens, against scikit-learn's.

Prevalences from .02 to .5, a third of the activations exactly zero, a high score as the sign of the
label on both sides (ours gives the other sign too, in the same time). Neurons are made and scored a
chunk at a time; after each chunk scikit-learn loops over a sample of its pairs, and its time is
scaled to all pairs. Both sides have the threads that torch has; scikit-learn's loop uses one.
"""

import time

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from benchmarks.harness import Benchmark, PeakMemory, median_ratio
from interp.neurons.average_precision import average_precision

N_UNITS, N_FUNCTIONS, N_TOKENS = 16_384, 32, 50_000
LOWEST, HIGHEST = 0.02, 0.5
ZEROS = 1 / 3
CHUNK = 1024


def labels(generator: torch.Generator) -> torch.Tensor:
    """Functions by tokens, with prevalences evenly spread."""
    prevalence = torch.linspace(LOWEST, HIGHEST, N_FUNCTIONS)[:, None]
    return torch.rand(N_FUNCTIONS, N_TOKENS, generator=generator) < prevalence


def activations(n_units: int, generator: torch.Generator) -> torch.Tensor:
    """Tokens by units: normal, `ZEROS` of them exactly zero."""
    values = torch.randn(N_TOKENS, n_units, generator=generator)
    values[torch.rand(N_TOKENS, n_units, generator=generator) < ZEROS] = 0.0
    return values


def looped(scores: torch.Tensor, label: torch.Tensor) -> tuple[float, np.ndarray]:
    """scikit-learn on one unit and all functions: seconds, and its values."""
    of_unit, of_functions = scores.numpy(), [row.numpy() for row in label]
    start = time.perf_counter()
    values = [average_precision_score(row, of_unit) for row in of_functions]
    return time.perf_counter() - start, np.array(values)


def main() -> None:
    """Run the benchmark."""
    benchmark = Benchmark("specialization", __doc__)
    benchmark.parser.add_argument("--units", type=int, default=N_UNITS)
    asked = benchmark.parse()
    benchmark.say_settings(
        units=asked.units,
        functions=N_FUNCTIONS,
        tokens=N_TOKENS,
        prevalences=f"{LOWEST} to {HIGHEST}",
        zeros=f"{ZEROS:.3f}",
        chunk=CHUNK,
        threads=torch.get_num_threads(),
    )
    generator = torch.Generator().manual_seed(0)
    label = labels(generator)
    average_precision(activations(2, generator), label)
    ours: list[float] = []
    peer: list[float] = []
    differences: list[float] = []
    memory_mb = 0.0
    for first in range(0, asked.units, CHUNK):
        n_units = min(CHUNK, asked.units - first)
        scores = activations(n_units, generator)
        with PeakMemory() as memory:
            start = time.perf_counter()
            found = average_precision(scores, label)
            ours.append((time.perf_counter() - start) / n_units)
        memory_mb = max(memory_mb, memory.extra_mb)
        sampled = (first // CHUNK * 37) % n_units
        seconds, values = looped(scores[:, sampled].contiguous(), label)
        peer.append(seconds)
        differences.append(float(np.abs(found.positive[:, sampled].numpy() - values).max()))
    benchmark.say_sides({"interp, a unit": ours, "scikit-learn, a unit": peer}, unit="s")
    all_s, peer_s = float(np.mean(ours)) * asked.units, float(np.mean(peer)) * asked.units
    benchmark.say(f"  all units: interp {all_s:,.1f} s; scikit-learn, scaled, {peer_s:,.0f} s")
    benchmark.finish(
        {
            "specialization.over_sklearn": median_ratio(peer, ours),
            "specialization.max_difference": max(differences),
            "specialization.extra_mb": memory_mb,
        }
    )


if __name__ == "__main__":
    main()
