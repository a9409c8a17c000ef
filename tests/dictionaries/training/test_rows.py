import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from interp.capture.store import ActivationStore
from interp.dictionaries.training.rows import Batch, Share, training_batches
from interp.dictionaries.training.source import StoreSource
from interp.results.errors import BadInput
from tests.dictionaries.training.planted import READ, WRITTEN, planted_store

SMALL = 2000 * 20 * 4  # bytes: about one block of 1024 rows a buffer


def source(store: ActivationStore, *, seed: int = 0) -> StoreSource:
    return StoreSource(store, [READ, WRITTEN], seed=seed, buffer_bytes=SMALL)


def first(n: int, batches: Iterator[Batch]) -> list[Batch]:
    with closing(batches):  # type: ignore[type-var]
        return list(islice(batches, n))


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(one.rows[site], other.rows[site]) for site in (READ, WRITTEN))


@pytest.mark.parametrize("batch_size", [7, 256, 1024, 2500])
def test_from_any_position_the_same_batches_follow(store: ActivationStore, batch_size: int) -> None:
    whole = first(9, training_batches(source(store), batch_size=batch_size))
    for cut in (0, 3, 7):
        start = whole[cut].then
        rest = first(
            9 - cut - 1, training_batches(source(store), batch_size=batch_size, start=start)
        )
        assert [batch.then for batch in rest] == [batch.then for batch in whole[cut + 1 :]]
        assert all(map(equal, rest, whole[cut + 1 :]))


def test_a_batch_may_span_epochs_and_no_row_is_lost(store: ActivationStore) -> None:
    batches = first(6, training_batches(source(store), batch_size=1000))
    assert [batch.then.epoch for batch in batches] == [0, 0, 0, 1, 1, 1]
    rows = torch.cat([batch.rows[READ] for batch in batches]).numpy()
    expected = store.rows(READ, 0, store.n_rows)
    for epoch in (rows[:3000], rows[3000:]):
        assert np.array_equal(epoch[np.lexsort(epoch.T)], expected[np.lexsort(expected.T)])
    assert not np.array_equal(rows[:3000], rows[3000:])


@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_shares_make_up_each_global_batch(store: ActivationStore, world: int) -> None:
    whole = first(4, training_batches(source(store), batch_size=600))
    shares = [
        first(4, training_batches(source(store), batch_size=600, share=Share(rank, world)))
        for rank in range(world)
    ]
    for step, batch in enumerate(whole):
        for rank in range(world):
            mine = shares[rank][step]
            assert mine.then == batch.then
            assert torch.equal(mine.rows[WRITTEN], batch.rows[WRITTEN][rank::world])


def test_both_sites_keep_their_rows_together(store: ActivationStore) -> None:
    (batch,) = first(1, training_batches(source(store), batch_size=500))
    read = store.rows(READ, 0, store.n_rows)
    written = store.rows(WRITTEN, 0, store.n_rows).reshape(-1, 8)
    number = {row.tobytes(): i for i, row in enumerate(read)}
    at = [number[row.tobytes()] for row in batch.rows[READ].numpy()]
    assert np.array_equal(batch.rows[WRITTEN].numpy(), written[at])


def test_one_site_alone_comes_in_the_order_that_both_have(store: ActivationStore) -> None:
    both = first(3, training_batches(source(store), batch_size=700))
    alone = first(3, training_batches(source(store), batch_size=700, sites=[WRITTEN]))
    for one, two in zip(alone, both, strict=True):
        assert list(one.rows) == [WRITTEN]
        assert torch.equal(one.rows[WRITTEN], two.rows[WRITTEN])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_row_that_is_not_finite_ends_training_by_its_name(tmp_path: Path, value: float) -> None:
    store = planted_store(tmp_path / "store", spoilt=(1600, value))
    with pytest.raises(BadInput, match=rf"{WRITTEN} is {value} in row 1600, unit 0"):
        first(6, training_batches(source(store), batch_size=500))


def test_a_store_without_rows_is_refused(tmp_path: Path) -> None:
    store = planted_store(tmp_path / "store", n_rows=0)
    with pytest.raises(BadInput, match="holds no row"):
        source(store)


class _Endless:
    """A source whose buffers never end, and which counts what was asked of it."""

    def __init__(self, facts: object) -> None:
        self.facts, self.widths, self.read = facts, {READ: 2}, 0

    def buffer(
        self, epoch: int, number: int, *, sites: Sequence[str] | None = None
    ) -> dict[str, np.ndarray] | None:
        self.read += 1
        return {READ: np.full((10, 2), number, np.float32)}


def test_a_thread_reads_one_buffer_ahead_and_ends_with_its_consumer(store: ActivationStore) -> None:
    before = threading.active_count()
    endless = _Endless(source(store).facts)
    batches = training_batches(endless, batch_size=10)  # type: ignore[arg-type]
    with closing(batches):
        assert float(next(batches).rows[READ][0, 0]) == 0
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert endless.read <= 3
