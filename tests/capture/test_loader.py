from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import ActivationStore, record, shuffled_batches
from interp.capture import loader as loader_module
from interp.capture.loader import ShuffledBuffers
from interp.results.errors import BadInput
from tests.capture.conftest import make_corpus

SITE = "blocks.0.attn.hook_z"
OTHER = "blocks.1.hook_resid_post"


@pytest.fixture(scope="module")
def store(
    bridge: Callable[[str], TransformerBridge], tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    directory = tmp_path_factory.mktemp("loader") / "store"
    return record(bridge("llama"), make_corpus(), [SITE, OTHER], directory, max_tokens=500)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "_BLOCK_ROWS", 32)


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


@pytest.mark.parametrize("buffer_bytes", [1, 20_000, 1 << 20])
def test_every_row_comes_exactly_once_an_epoch(store: ActivationStore, buffer_bytes: int) -> None:
    batches = list(
        shuffled_batches(store, SITE, batch_size=64, seed=0, epochs=2, buffer_bytes=buffer_bytes)
    )
    assert {len(batch) for batch in batches[:-1]} == {64}
    rows = torch.cat(batches).numpy()
    expected = store.rows(SITE, 0, store.n_rows).reshape(store.n_rows, -1)
    for epoch in (rows[: store.n_rows], rows[store.n_rows :]):
        assert np.array_equal(sorted_rows(epoch), sorted_rows(expected))
    assert not np.array_equal(rows[: store.n_rows], rows[store.n_rows :])


def test_the_order_is_the_seeds(store: ActivationStore) -> None:
    def first(seed: int) -> torch.Tensor:
        return next(shuffled_batches(store, SITE, batch_size=64, seed=seed))

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_without_a_number_of_epochs_it_never_ends(store: ActivationStore) -> None:
    assert len(list(islice(shuffled_batches(store, SITE, batch_size=400, seed=0), 10))) == 10


def test_a_batch_of_nothing_is_refused(store: ActivationStore) -> None:
    with pytest.raises(BadInput, match="no batches of 0"):
        shuffled_batches(store, SITE, batch_size=0, seed=0)


def test_all_sites_come_in_one_order_and_any_buffer_can_be_read_first(
    store: ActivationStore,
) -> None:
    def fresh() -> ShuffledBuffers:
        return ShuffledBuffers(store, [SITE, OTHER], seed=3, buffer_bytes=1 << 14)

    buffers = fresh()
    assert len(buffers) > 2
    both = [store.rows(site, 0, store.n_rows).reshape(store.n_rows, -1) for site in (SITE, OTHER)]
    expected = np.concatenate(both, axis=1)
    for epoch in (0, 1):
        read = [buffers.read(epoch, i) for i in range(len(buffers))]
        rows = [np.concatenate([part[SITE], part[OTHER]], axis=1) for part in read]
        assert np.array_equal(sorted_rows(np.concatenate(rows)), sorted_rows(expected))
        assert np.array_equal(fresh().read(epoch, 2)[OTHER], read[2][OTHER])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_site_and_row(
    store: ActivationStore, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    rows = store.rows

    def spoilt(site: str, start: int, stop: int) -> np.ndarray:
        read = rows(site, start, stop)
        if site == OTHER and start <= 70 < stop:
            read[70 - start].flat[5] = value
        return read

    monkeypatch.setattr(store, "rows", spoilt)
    buffers = ShuffledBuffers(store, [SITE, OTHER], seed=0, buffer_bytes=1 << 20)
    with pytest.raises(BadInput, match=f"{OTHER} is {value} in row 70, unit 5"):
        buffers.read(0, 0)
