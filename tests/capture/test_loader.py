from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import ActivationStore, record, shuffled_batches
from interp.capture import loader as loader_module
from interp.results.errors import BadInput
from tests.capture.conftest import make_corpus

SITE = "blocks.0.attn.hook_z"


@pytest.fixture(scope="module")
def store(
    bridge: Callable[[str], TransformerBridge], tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    directory = tmp_path_factory.mktemp("loader") / "store"
    return record(bridge("llama"), make_corpus(), [SITE], directory, max_tokens=500)


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
