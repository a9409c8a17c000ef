"""How far one checkpoint's scores agree with the next one's, for the table of `benchmarks.modules`.

Rank correlation between the scores of consecutive checkpoints (arXiv 2305.18390) over neurons, over
the means of experts from weights, and over those of random partitions; and partitions from weights
beside the agreement of their starts.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.modules_models import Trained
from benchmarks.modules_runs import LINES_SEED, N_EXPERTS
from interp.modules.emergence import follow_series
from probes.functions.labelled import write_labelled
from probes.functions.tasks import LENGTH
from probes.functions.train import RECIPE

STEPS = RECIPE.checkpoints
FIXED_AT = 1000
"""The checkpoint whose weights give the experts that are followed."""
N_SCORED = 256
N_RANDOM = 50
STARTS = 8
LEVELS = {
    "expert": "expert",
    "neuron": "neuron",
    "random": "random",
    "random_sd": "its SD",
    "ari": "ARI",
    "ari_ceiling": "ceiling",
}
Stable = dict[str, list[list[float]]]
"""By level, a list a layer with a value for every step but the last."""


def stability_of(trained: Trained) -> Stable:
    """Every level at every step of the series; one thread, nothing kept."""
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="interp-modules-") as place:
        lines = Path(place) / "lines.jsonl"
        write_labelled(lines, seed=LINES_SEED, n_per_function=N_SCORED)
        found = follow_series(
            str(trained.directory),
            lines,
            Path(place) / "series",
            labels=["function"],
            n_experts=N_EXPERTS,
            reference=FIXED_AT,
            n_starts=STARTS,
            n_random=N_RANDOM,
            length=LENGTH,
            seed=trained.seed,
        )
    levels = {
        **{name: found.level(name).value for name in ("expert", "neuron", "random")},
        "random_sd": found.random_spread(),
        "ari": found.partition_ari,
        "ari_ceiling": found.pair_ceiling(),
    }
    return {name: np.asarray(values).tolist() for name, values in levels.items()}
