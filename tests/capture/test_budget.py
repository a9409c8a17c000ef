import pytest
import torch

from interp.capture.budget import MemoryPlan, PeakTensorBytes, parse_bytes
from interp.results.errors import BadInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GiB", 4 << 30), ("500 MB", 500_000_000), ("1e9", 10**9), ("1.5KiB", 1536), ("7", 7)],
)
def test_a_size_is_read_as_a_person_writes_it(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "4 apples", "-3", "1.2.3", "."])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is no size"):
        parse_bytes(text)


def test_peak_counts_what_lives_at_once_and_neither_views_nor_inputs() -> None:
    weight = torch.ones(1000, 1000)
    with PeakTensorBytes() as tensors:
        for _ in range(3):
            product = weight.t() @ weight
            view = product.view(-1)[:10]
            del product, view
    assert tensors.peak == 4_000_000


def test_a_budget_too_small_says_which_batch_size_would_fit() -> None:
    plan = MemoryPlan(forward_per_sequence=10 << 20, captured_per_sequence=1 << 20, shard=0)
    needed = plan.needed(4, 1)
    assert plan.queue_depth(16, 1 << 40, 0) == 4
    with pytest.raises(BadInput, match="--batch-size 4 fits"):
        plan.queue_depth(16, needed, 0)
    with pytest.raises(BadInput, match="not even a batch of one"):
        plan.queue_depth(16, 1000, 0)
