import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import IterableDataset
from transformer_lens.model_bridge import TransformerBridge

from interp.capture import ActivationStore, record
from interp.capture.plan import plan_capture
from interp.corpus.corpus import Corpus
from interp.corpus.sources import open_corpus
from interp.models.load import load
from interp.results.errors import BadInput, CorruptFile, InterpError, Mismatch, Unsupported
from tests.capture.conftest import LENGTH, files_of, make_corpus
from tests.models import D_VOCAB

Bridges = Callable[[str], TransformerBridge]
SITE = "blocks.1.hook_resid_post"


@pytest.fixture
def model(bridge: Bridges) -> TransformerBridge:
    return bridge("gpt2")


def recorded(
    model: TransformerBridge, corpus: Corpus, store: Path, **changed: Any
) -> ActivationStore:
    """400 tokens in shards of two batches."""
    arguments = {"sites": ["blocks.*.hook_resid_post"], "max_tokens": 400, "batch_size": 2}
    arguments |= {"shard_bytes": 30_000, **changed}
    return record(model, corpus, store=store, **arguments)


def tokens_of(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    batch = next(corpus.batches(1000))
    return batch.tokens, batch.attention_mask, batch.special


def test_rows_are_the_activations_of_their_tokens_and_nothing_else(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    tokens, mask, special = tokens_of(corpus)
    kept = mask & (np.cumsum(mask).reshape(mask.shape) <= 400)
    with torch.no_grad():
        _, cache = model.run_with_cache(
            torch.from_numpy(tokens), attention_mask=torch.from_numpy(mask).long()
        )
    expected = cache[SITE][torch.from_numpy(kept)].numpy()
    assert np.allclose(store.rows(SITE, 0, 400), expected, atol=1e-5)
    assert np.array_equal(store.column("token", 0, 400), tokens[kept])
    assert np.array_equal(store.column("is_special", 0, 400), special[kept])
    assert np.array_equal(store.column("is_bos", 0, 400), tokens[kept] == 1)
    sequence, position = np.nonzero(kept)
    assert np.array_equal(store.column("sequence", 0, 400), sequence)
    assert np.array_equal(store.column("position", 0, 400), position)
    assert np.array_equal(store.column("document", 0, 400), sequence // 2)
    assert np.array_equal(store.column("language", 0, 400), tokens[kept] % 3)
    assert np.array_equal(store.column("weight", 0, 400), tokens[kept] / 7)
    assert store.vocabulary == [f"t{i}" for i in range(D_VOCAB)]


@pytest.mark.parametrize("drop_special", [False, True])
@pytest.mark.parametrize("asked", [1, 15, 16, 333, 580, 10_000])
def test_asked_is_stored_and_masked_and_missing(
    model: TransformerBridge, tmp_path: Path, asked: int, drop_special: bool
) -> None:
    corpus = make_corpus()
    store = recorded(model, corpus, tmp_path / "s", max_tokens=asked, drop_special=drop_special)
    ending = store.manifest.ending
    assert ending is not None
    assert ending.asked == asked == ending.stored + ending.masked + ending.missing
    _, mask, special = tokens_of(corpus)
    kept = mask & (np.cumsum(mask).reshape(mask.shape) <= asked)
    assert ending.stored == store.n_rows == (kept & ~(special & drop_special)).sum()
    assert ending.missing == max(asked - mask.sum(), 0)
    assert bool(ending.reason) == bool(ending.missing)
    assert not (drop_special and store.column("is_special", 0, store.n_rows).any())
    sequences = kept.any(axis=1).sum()
    assert ending.sequences == sequences
    assert ending.padding == (~mask[:sequences]).sum()


def test_the_same_call_writes_the_same_bytes(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    recorded(model, corpus, tmp_path / "a")
    recorded(model, corpus, tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_finished_store_is_left_as_it_is(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    recorded(model, corpus, tmp_path / "s")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "s").iterdir()}
    recorded(model, corpus, tmp_path / "s")
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "s").iterdir()} == before


@pytest.mark.parametrize("lost", [["shard-00000.h5"], ["shard-00003.h5", "shard-00001.h5"]])
def test_deleted_shards_are_recorded_again_to_the_same_bytes(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path, lost: list[str]
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    before = files_of(store.path)
    for name in lost:
        (store.path / name).unlink()
    recorded(model, corpus, store.path)
    assert files_of(store.path) == before


@pytest.mark.parametrize("asked", [275, 10_000])
def test_a_run_killed_before_its_last_line_ends_in_the_same_bytes(
    model: TransformerBridge, tmp_path: Path, asked: int
) -> None:
    corpus = make_corpus(41)
    store = recorded(model, corpus, tmp_path / "s", max_tokens=asked)
    before = files_of(store.path)
    assert store.manifest.ending is not None
    assert store.manifest.ending.sequences % store.header.sequences_per_shard
    lines = (store.path / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (store.path / "manifest.jsonl").write_bytes(b"".join(lines[:-1]))
    recorded(model, corpus, store.path, max_tokens=asked)
    assert files_of(store.path) == before


@pytest.mark.parametrize("lost", ["manifest.jsonl", "store.json"])
def test_shards_whose_manifest_or_header_is_lost_are_not_deleted(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path, lost: str
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    before = files_of(store.path)
    (store.path / lost).unlink()
    with pytest.raises(CorruptFile, match=rf"shards and no {lost}: put that file back.*overwrite"):
        recorded(model, corpus, store.path)
    assert files_of(store.path) == {name: before[name] for name in before if name != lost}
    (store.path / lost).write_bytes(before[lost])
    recorded(model, corpus, store.path)
    assert files_of(store.path) == before
    (store.path / lost).unlink()
    recorded(model, corpus, store.path, overwrite=True)
    assert files_of(store.path) == before


def test_a_run_killed_after_its_first_shard_and_before_its_first_line_goes_on(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    before = files_of(store.path)
    for entry in store.manifest.shards[1:]:
        (store.path / entry.name).unlink()
    (store.path / "manifest.jsonl").write_bytes(b"")
    recorded(model, corpus, store.path)
    assert files_of(store.path) == before


def test_an_altered_shard_stops_the_run_and_deleting_it_is_the_remedy(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    before = files_of(store.path)
    shard = store.path / "shard-00001.h5"
    content = bytearray(shard.read_bytes())
    content[-50] ^= 4
    shard.write_bytes(content)
    with pytest.raises(CorruptFile, match=r"shard-00001.h5 was altered.*delete it"):
        recorded(model, corpus, store.path)
    shard.unlink()
    recorded(model, corpus, store.path)
    assert files_of(store.path) == before


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"sites": [SITE]}, "sites"),
        ({"dtype": "float16"}, "dtype is 'float32' there and 'float16' here"),
        ({"max_tokens": 300}, "asked is 400 there and 300 here"),
        ({"batch_size": 4}, "batch_size"),
        ({"drop_special": True}, "drop_special"),
    ],
)
def test_another_setting_does_not_go_on_with_a_store(
    model: TransformerBridge,
    corpus: Corpus,
    tmp_path: Path,
    changed: dict[str, Any],
    named: str,
) -> None:
    store = recorded(model, corpus, tmp_path / "s")
    before = files_of(store.path)
    with pytest.raises(Mismatch, match=named):
        recorded(model, corpus, store.path, **changed)
    assert files_of(store.path) == before


def test_another_corpus_does_not_go_on_with_a_store(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    recorded(model, corpus, tmp_path / "s")
    with pytest.raises(Mismatch, match="corpus_hash"):
        recorded(model, make_corpus(seed=1), tmp_path / "s")


def test_a_stream_that_is_only_known_by_its_beginning_is_not_gone_on_with(
    model: TransformerBridge, tmp_path: Path
) -> None:
    def corpus(last: int) -> Corpus:
        # As many documents as are hashed, and one that is not.
        entries = [{"ids": [5] * LENGTH}] * 1024 + [{"ids": [last] * LENGTH}]
        stream = IterableDataset.from_generator(lambda: iter(entries))  # type: ignore
        return open_corpus(stream, None, length=LENGTH, packing="document", field="ids")

    changed = {"max_tokens": 10**6, "batch_size": 64, "shard_bytes": 1 << 22}
    store = recorded(model, corpus(6), tmp_path / "s", **changed)
    assert corpus(6).hash == corpus(7).hash
    assert len(store.manifest.shards) > 1
    before = files_of(store.path)
    (store.path / "shard-00001.h5").unlink()
    with pytest.raises(Mismatch, match=r"stream that may have changed.*--overwrite"):
        recorded(model, corpus(7), store.path, **changed)
    recorded(model, corpus(6), store.path, overwrite=True, **changed)
    assert files_of(store.path) == before


def test_a_model_with_one_changed_weight_does_not_go_on_with_a_store(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    recorded(model, corpus, tmp_path / "s")
    weight = next(model.original_model.parameters())
    with torch.no_grad():
        weight.data[0, 0] += 1
    try:
        with pytest.raises(Mismatch, match="weights_in_memory"):
            recorded(model, corpus, tmp_path / "s")
    finally:
        with torch.no_grad():
            weight.data[0, 0] -= 1


def test_overwrite_starts_again_but_touches_no_directory_of_others(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    recorded(model, corpus, tmp_path / "s")
    store = recorded(model, corpus, tmp_path / "s", max_tokens=100, overwrite=True)
    assert store.n_rows == 100
    assert len(list(store.path.glob("shard-*"))) == len(store.manifest.shards)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match=r"thesis\.txt"):
        recorded(model, corpus, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_two_writers_cannot_share_a_store_and_a_dead_ones_lock_is_none(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    directory = tmp_path / "s"
    directory.mkdir()
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BadInput, match="written by another process"):
            recorded(model, corpus, directory)
    assert (directory / ".lock").exists()
    assert recorded(model, corpus, directory).is_complete


def test_a_value_that_overflows_is_named_with_its_site_and_row(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    norm = model.original_model.get_submodule("transformer.ln_f")
    weight = next(p for name, p in norm.named_parameters() if name.endswith("weight"))
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.mul_(1e6)
        with pytest.raises(
            BadInput, match=r"ln_final.hook_out overflows float16 at row \d+ of shard"
        ):
            recorded(model, corpus, tmp_path / "s", sites=["ln_final.hook_out"], dtype="float16")
    finally:
        with torch.no_grad():
            weight.copy_(before)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("drop_special", [False, True])
def test_the_size_said_before_is_met_within_five_percent(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path, dtype: Any, drop_special: bool
) -> None:
    for shard_bytes, asked in [(30_000, 400), (1 << 20, 10_000), (60_000, 10_000)]:
        settings = {"shard_bytes": shard_bytes, "max_tokens": asked, "dtype": dtype}
        settings |= {"batch_size": 2, "drop_special": drop_special}
        plan = plan_capture(model, corpus, ["blocks.*.hook_resid_post"], **settings)
        store = record(
            model,
            corpus,
            ["blocks.*.hook_resid_post"],
            tmp_path / f"{asked}-{shard_bytes}",
            **settings,
        )
        size = sum(len(content) for content in files_of(store.path).values())
        assert abs(plan.expected_bytes - size) <= 0.05 * size
        assert abs(plan.expected_rows - store.n_rows) <= 0.05 * store.n_rows


def test_a_memory_budget_too_small_is_refused_before_anything_is_written(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"memory budget of 10\.0 MiB is too small"):
        recorded(model, corpus, tmp_path / "s", memory="10MiB")
    assert not (tmp_path / "s").exists()
    recorded(model, corpus, tmp_path / "s", memory="16GiB")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"max_tokens": 0}, BadInput),
        ({"batch_size": 0}, BadInput),
        ({"sites": ["blocks.9.hook_resid_post"]}, InterpError),
        ({"sites": ["blocks.*.attn.hook_pattern"]}, Unsupported),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_leaves_nothing(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path, changed: dict[str, Any], error: type
) -> None:
    with pytest.raises(error):
        recorded(model, corpus, tmp_path / "s", **changed)
    assert not (tmp_path / "s").exists()


def test_a_place_that_cannot_be_written_is_one_clear_error(
    model: TransformerBridge, corpus: Corpus, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"cannot write .*file"):
        recorded(model, corpus, tmp_path / "file" / "store")
    with pytest.raises(BadInput, match="is a file"):
        recorded(model, corpus, tmp_path / "file")


def test_a_bridge_that_computes_another_model_is_refused(
    model_directory: Callable[[str], Path], corpus: Corpus, tmp_path: Path
) -> None:
    for dtype in ("float32", "bfloat16"):
        model = load(model_directory("gpt2"), device="cpu", dtype=dtype)
        with distorted(model):
            if dtype == "bfloat16":
                recorded(model, corpus, tmp_path / dtype)
            else:
                with pytest.raises(Mismatch, match="differs from plain transformers by"):
                    recorded(model, corpus, tmp_path / dtype)
                assert not (tmp_path / dtype).exists()


@contextmanager
def distorted(model: TransformerBridge) -> Iterator[None]:
    """The bridge's first block adds a half, as a wrongly bridged architecture might."""
    block = model.get_submodule("blocks.0.mlp")
    handle = block.register_forward_hook(lambda *call: call[2] + 0.5)  # type: ignore
    try:
        yield
    finally:
        handle.remove()


def test_sequences_longer_than_the_models_context_are_refused(
    model: TransformerBridge, tmp_path: Path
) -> None:
    corpus = Corpus.from_tokens(np.full((2, 65), 5))
    with pytest.raises(BadInput, match="65 tokens do not fit the model's context of 64"):
        recorded(model, corpus, tmp_path / "s")


def test_a_label_named_like_a_column_is_refused(model: TransformerBridge, tmp_path: Path) -> None:
    ids = np.full((2, LENGTH), 5)
    corpus = Corpus.from_tokens(ids, labels={"token": ids})
    with pytest.raises(BadInput, match="label is called 'token'"):
        recorded(model, corpus, tmp_path / "s")


@pytest.mark.parametrize(
    ("first", "later"), [(1, 0.5), (1, float("nan")), (0.5, 2**53 + 1), (0.5, 2**63 - 1)]
)
def test_a_label_that_its_column_would_change_is_refused_with_its_place(
    model: TransformerBridge, tmp_path: Path, first: float, later: float
) -> None:
    entries = [{"ids": [5] * LENGTH, "share": value} for value in [first] * 5 + [later]]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    settings = {"length": LENGTH, "packing": "document", "field": "ids", "labels": ["share"]}
    corpus = open_corpus(path, None, **settings)  # type: ignore
    with pytest.raises(BadInput, match=r"label 'share' is \S+ in sequence 5.*--overwrite"):
        recorded(model, corpus, tmp_path / "s", batch_size=1)


def test_a_label_of_fractions_and_whole_numbers_is_kept_as_it_is(
    model: TransformerBridge, tmp_path: Path
) -> None:
    shares = [0.5, 1, float("nan"), 3, 0.25, 2**53]
    ids = np.full((6, LENGTH), 5)
    labels = {"share": np.repeat(np.array(shares)[:, None], LENGTH, axis=1)}
    store = recorded(model, Corpus.from_tokens(ids, labels=labels), tmp_path / "s")
    found = store.column("share", 0, store.n_rows)[::LENGTH]
    assert np.array_equal(found, np.array(shares), equal_nan=True)


@pytest.mark.parametrize("style", ["mixtral", "t5", "bert"])
def test_routers_encoders_and_bidirectional_models_are_recorded(
    bridge: Bridges, corpus: Corpus, tmp_path: Path, style: str
) -> None:
    site = {
        "mixtral": "blocks.*.mlp.gate.hook_out",
        "t5": "encoder_blocks.*.hook_resid_post",
        "bert": "blocks.*.hook_resid_post",
    }[style]
    store = recorded(bridge(style), corpus, tmp_path / "s", sites=[site])
    assert store.n_rows == 400
    assert all(np.isfinite(store.rows(name, 0, 400)).all() for name in store.sites)


def test_a_decoder_that_reads_shifted_tokens_is_refused(
    bridge: Bridges, corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported, match="shifted by one"):
        recorded(bridge("t5"), corpus, tmp_path / "s", sites=["decoder_blocks.*.hook_resid_post"])
