"""Two processes that share the sequences give the scores of one process."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from interp.heads.relations.run import score_relations
from interp.heads.scores import ARRAYS, HeadScores
from interp.models.load import load
from tests.heads.relations.making import random_corpus
from tests.models import tiny_model_directory

PRESETS = ["relation", "ren2024_dev"]


def scored(place: str) -> HeadScores:
    corpus = random_corpus(n=25)
    return score_relations(
        load(Path(place) / "model"), corpus, preset=PRESETS, draws=49, batch_size=4
    )


def one_rank(rank: int, place: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{place}/meeting", rank=rank, world_size=2)
    scored(place).save(f"{place}/rank-{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_score_relations_as_one_process(tmp_path: Path) -> None:
    tiny_model_directory("llama", tmp_path / "model", n_layer=2)
    alone = scored(str(tmp_path))
    assert np.isfinite(alone.score).any()
    spawn(one_rank, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        found = HeadScores.load(tmp_path / f"rank-{rank}")
        for name in ARRAYS:
            # Other batches: sums differ by rounding.
            expected = getattr(alone, name)
            np.testing.assert_allclose(getattr(found, name), expected, atol=1e-6, err_msg=name)
        for name, expected in alone.extras.items():
            np.testing.assert_allclose(found.extras[name], expected, atol=1e-5, err_msg=name)
        assert found.notes == alone.notes
