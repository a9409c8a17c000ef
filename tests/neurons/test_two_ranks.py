"""Two processes that share the units give the scores of one process to the last bit."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from interp.neurons.score import score_neurons
from interp.neurons.scores import NeuronScores
from tests.neurons.stores import SITE, planted_store

QUESTION = {"site": SITE, "labels": ["answer", "language"], "n_permutations": 20}


def one_rank(rank: int, place: str, more: dict[str, str]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{place}/meeting", rank=rank, world_size=2)
    found = score_neurons(f"{place}/store", **QUESTION, **more)  # pyright: ignore[reportArgumentType]
    found.save(f"{place}/rank-{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{"pool": "mean"}, {"pool": "token", "measure": "skill"}], ids=["mean", "skill"]
)
def test_two_ranks_score_as_one_process(tmp_path: Path, more: dict[str, str]) -> None:
    store = planted_store(tmp_path / "store")
    alone = score_neurons(store, **QUESTION, **more)  # pyright: ignore[reportArgumentType]
    spawn(one_rank, (str(tmp_path), more), nprocs=2)
    for rank in (0, 1):
        found = NeuronScores.load(tmp_path / f"rank-{rank}")
        for one in fields(NeuronScores):
            expected = getattr(alone, one.name)
            if isinstance(expected, np.ndarray):
                np.testing.assert_array_equal(getattr(found, one.name), expected, one.name)
