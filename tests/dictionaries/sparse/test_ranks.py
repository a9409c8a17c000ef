"""Two processes with half of the rows each take the step of one process with all of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from sae_lens.config import SAETrainerConfig
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from interp.dictionaries.architectures import make
from interp.dictionaries.sparse.ranks import ONE_PROCESS, ProcessGroup, Ranks, kth_largest
from interp.dictionaries.step import TrainStep

D_IN, D_SAE, ROWS, STEPS = 8, 48, 40, 6
KINDS = ("topk", "batchtopk", "matryoshka_batchtopk", "skip_transcoder", "standard")


def train(name: str, ranks: Ranks, rank: int, size: int) -> dict[str, Tensor]:
    """The losses of each step and the weights at the end."""
    options: dict[str, Any] = {} if name == "standard" else {"k": 3}
    sae = make(name, d_in=D_IN, d_sae=D_SAE, seed=0, dtype="float64", **options)
    with torch.no_grad():
        dict(sae.named_parameters())["b_enc"][::5] = -1.0
    config = SAETrainerConfig(
        total_training_samples=STEPS * ROWS,
        train_batch_size_samples=ROWS,
        lr=1e-2,
        lr_end=1e-2,
        dead_feature_window=2,
    )
    step = TrainStep(sae, config, ranks=ranks)
    generator = torch.Generator().manual_seed(0)
    width = 2 * D_IN if "transcoder" in name else D_IN
    losses = []
    for _ in range(STEPS):
        batch = torch.randn(ROWS, width, generator=generator, dtype=torch.float64)
        # The first half is larger: the selection must be over both.
        batch[: ROWS // 2] *= 2
        result = step.step(batch.chunk(size)[rank])
        losses.append(torch.stack([*result.losses.values(), result.n_active, result.n_dead]))
    counters = {"since": step.n_forward_passes_since_fired, "density": step.density}
    return {"losses": torch.stack(losses), **counters, **sae.state_dict()}


def one_rank(rank: int, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{out}/meeting", rank=rank, world_size=2)
    ranks = ProcessGroup()
    for name in KINDS:
        found = {key: t.contiguous() for key, t in train(name, ranks, rank, 2).items()}
        save_file(found, f"{out}/{name}-{rank}.safetensors")
    mine = torch.arange(5.0) + 10 * rank
    exchanged = {
        "sum": ranks.all_sum(mine),
        "min": ranks.all_min(-mine),
        "third": ranks.global_kth_largest(mine, 3),
        "seventh": ranks.global_kth_largest(mine[: 5 - 2 * rank], 7),
        "none": ranks.global_kth_largest(mine, 11),
        "mine": mine,
    }
    save_file(exchanged, f"{out}/exchanged-{rank}.safetensors")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ranks")
    spawn(one_rank, (str(out),), nprocs=2)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_two_ranks_train_as_one_process(name: str, two_ranks: Path) -> None:
    alone = train(name, ONE_PROCESS, 0, 1)
    first, second = (load_file(two_ranks / f"{name}-{rank}.safetensors") for rank in (0, 1))
    for key, expected in alone.items():
        torch.testing.assert_close(first[key], expected, rtol=1e-8, atol=1e-10, msg=key)
        assert torch.equal(first[key], second[key]), key


@pytest.mark.slow
def test_exchanges_are_those_over_all_values(two_ranks: Path) -> None:
    first, second = (load_file(two_ranks / f"exchanged-{rank}.safetensors") for rank in (0, 1))
    both = torch.cat([first["mine"], second["mine"]])
    for found in (first, second):
        assert torch.equal(found["sum"], first["mine"] + second["mine"])
        assert torch.equal(found["min"], -second["mine"])
        assert found["third"] == kth_largest(both, 3) == 12
        assert found["seventh"] == 1
        assert found["none"] == -torch.inf
