from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import record
from interp.capture.interruption import Interrupted
from interp.dictionaries.card import DictionaryCard
from interp.dictionaries.files import open_dictionary
from interp.dictionaries.training import loop as loop_module
from interp.dictionaries.training.live import LiveSource, live_source
from interp.dictionaries.training.train import train
from interp.models.load import load
from tests.capture.conftest import make_corpus

SITES = ["blocks.1.hook_resid_post", "blocks.0.attn.hook_z"]
BUFFER = 8_000  # bytes: some sequences of sixteen tokens


@pytest.fixture(scope="module")
def bridge(model_directory: Callable[[str], Path]) -> TransformerBridge:
    return load(model_directory("llama"), device="cpu")


def live(bridge: TransformerBridge, *, seed: int = 0) -> LiveSource:
    return live_source(
        bridge, make_corpus(80), SITES, n_tokens=2000, seed=seed, buffer_bytes=BUFFER
    )


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_an_epoch_of_live_rows_is_what_a_store_would_hold(
    bridge: TransformerBridge, tmp_path: Path
) -> None:
    store = record(bridge, make_corpus(80), SITES, tmp_path / "store", max_tokens=2000)
    source = live(bridge)
    buffers = []
    while (buffer := source.buffer(0, len(buffers))) is not None:
        buffers.append(buffer)
    assert len(buffers) == 3
    for site in SITES:
        rows = np.concatenate([buffer[site] for buffer in buffers])
        expected = store.rows(site, 0, store.n_rows).reshape(store.n_rows, -1)
        assert np.allclose(sorted_rows(rows), sorted_rows(expected), atol=1e-5)


def test_any_buffer_can_be_made_again(bridge: TransformerBridge) -> None:
    source, other = live(bridge), live(bridge)
    inorder = [source.buffer(0, i) for i in range(3)]
    for number in (2, 0, 1):
        again, first = other.buffer(0, number), inorder[number]
        assert again is not None and first is not None
        assert all(np.array_equal(again[site], first[site]) for site in SITES)
    one_site = other.buffer(0, 1, sites=SITES[:1])
    assert one_site is not None and list(one_site) == SITES[:1]
    different, first = live(bridge, seed=1).buffer(0, 0), inorder[0]
    assert different is not None and first is not None
    assert not np.array_equal(different[SITES[0]], first[SITES[0]])


def test_training_live_goes_on_where_it_was_stopped(
    bridge: TransformerBridge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def trained(out: Path) -> Path:
        source = live(bridge)
        settings = {"site": SITES[0], "d_sae": 32, "k": 2, "n_tokens": 1600, "batch_size": 50}
        return train(source, out, **settings)[0]  # type: ignore[arg-type]

    whole = trained(tmp_path / "whole")
    assert "they come again" in capsys.readouterr().err

    @contextmanager
    def after_seven_steps() -> Iterator[Callable[[], bool]]:
        steps = count(1)
        yield lambda: next(steps) == 7

    with monkeypatch.context() as patched:
        patched.setattr(loop_module, "interruptible", after_seven_steps)
        for _ in range(3):
            with pytest.raises(Interrupted):
                trained(tmp_path / "stopped")
    stopped = trained(tmp_path / "stopped")
    for name in ("sae_weights.safetensors", "log.jsonl"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    card = DictionaryCard.of(open_dictionary(stopped))
    assert card.corpus_hash == make_corpus(80).hash and card.model_hash is not None
