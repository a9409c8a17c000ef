import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from interp.models.load import load
from interp.modules.native.blocks import native_blocks
from interp.modules.native.reading import read_blocks
from interp.modules.native.routing import NativeRouting
from interp.modules.native.run import read_native
from interp.plots import native_moe
from interp.results.errors import BadInput, CorruptFile
from tests.models import tiny_model_directory
from tests.modules.native.mixtures import labelled_corpus

QUICK: dict[str, Any] = {"permutations": 19, "shuffles": 3, "draws": 2}
MIXTURES = ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "switch")


def everything(found: NativeRouting) -> dict[str, np.ndarray]:
    """Every array of a finding by name."""
    parts = {
        "load": found.router_load,
        "overlap": found.overlap,
        "functions": found.functions,
        "capacity": found.capacity,
        "restriction": found.restriction,
    }
    return {
        f"{name}.{key}": value
        for name, part in parts.items()
        if part is not None
        for key, value in vars(part).items()
        if isinstance(value, np.ndarray)
    }


@pytest.mark.parametrize("style", MIXTURES)
def test_every_style_is_read_whole_and_comes_back_from_its_file(
    model_directory, tmp_path: Path, style: str
):
    found = read_native(
        str(model_directory(style)),
        labelled_corpus(),
        label="function",
        capacity_factor=1.0,
        devices=2,
        device="cpu",
        **QUICK,
    )
    assert (found.recomputation_error < 1e-5).all()
    load, functions, capacity = found.router_load, found.functions, found.capacity
    assert functions is not None
    assert capacity is not None
    np.testing.assert_allclose(load.share.sum(axis=1), 1)
    # BOS is read by the router and counted against the capacity, but is no text.
    assert load.n_tokens == 36 * 15 - 9 * 6
    assert (capacity.count("tokens") == load.n_tokens + 36).all()
    total = functions.chosen.sum(axis=(1, 2))
    assert (total == found.top_k * load.n_tokens).all()
    np.testing.assert_allclose(functions.probability.sum(axis=2), 1, atol=1e-6)
    pairs = found.overlap.together.sum(axis=(1, 2))
    assert (pairs == found.top_k**2 * load.n_tokens).all()
    again = NativeRouting.load(found.save(tmp_path / "found"))
    assert again.provenance == found.provenance
    assert (again.functions and again.functions.functions) == ("0", "1", "2")
    for name, value in everything(found).items():
        np.testing.assert_array_equal(everything(again)[name], value, err_msg=name)
    assert json.dumps(found.to_json(), allow_nan=False)
    assert repr(again) == repr(found)


@torch.no_grad()
def test_what_a_switch_model_drops_is_what_its_own_capacity_counts(tmp_path: Path):
    """A dropped token gets nothing from its block; padding is not counted as a token."""
    directory = tiny_model_directory("switch", tmp_path / "switch", expert_capacity=3)
    corpus = labelled_corpus()
    found = read_native(str(directory), corpus, device="cpu", **QUICK)
    bridge = load(str(directory), device="cpu")
    blocks = native_blocks(bridge)
    dropped = np.zeros(2, int)
    for batch in corpus.batches(8):
        for i, values in enumerate(read_blocks(bridge, blocks, batch)):
            silent = (values.out == 0).all(-1).numpy()
            dropped[i] += (silent & batch.attention_mask).sum()
    assert found.own_capacity == 3
    assert found.capacity is not None
    assert found.capacity.rule["factor"] is None
    assert (dropped > 0).all()
    assert found.capacity.count("dropped").tolist() == dropped.tolist()
    assert found.capacity.count("slots").tolist() == [36 * 4 * 3] * 2


@pytest.mark.parametrize("style", ["olmoe", "switch"])
def test_batches_of_any_size_give_the_same_numbers(model_directory, style: str):
    results = [
        read_native(
            str(model_directory(style)),
            labelled_corpus(),
            label="function",
            capacity_factor=1.0,
            group_sequences=2,
            batch_size=size,
            device="cpu",
            **QUICK,
        )
        for size in (36, 6)
    ]
    first, second = (everything(found) for found in results)
    for name in first:
        np.testing.assert_allclose(second[name], first[name], atol=1e-6, err_msg=name)


def test_a_last_group_of_fewer_sequences_is_counted_as_it_is(model_directory):
    found = read_native(
        str(model_directory("olmoe")),
        labelled_corpus(),
        capacity_factor=1.0,
        group_sequences=5,
        device="cpu",
        **QUICK,
    )
    assert found.capacity is not None
    assert found.capacity.n_groups == 8
    assert (found.capacity.count("tokens") == 36 * 16 - 9 * 6).all()


def test_without_label_and_capacity_there_is_load_and_overlap_only(model_directory):
    found = read_native(str(model_directory("mixtral")), labelled_corpus(), device="cpu", **QUICK)
    assert (found.functions, found.capacity, found.restriction) == (None, None, None)
    assert found.own_capacity is None
    assert all(line for line in found.notes())


def test_leaving_functions_out_does_not_change_the_rest(model_directory):
    plain, labelled = (
        read_native(
            str(model_directory("olmoe")), labelled_corpus(), label=label, device="cpu", **QUICK
        )
        for label in (None, "function")
    )
    np.testing.assert_array_equal(
        plain.router_load.share_interval, labelled.router_load.share_interval
    )
    np.testing.assert_array_equal(plain.overlap.cosine_null_sd, labelled.overlap.cosine_null_sd)


def test_labels_of_tokens_are_read(model_directory):
    corpus = labelled_corpus(by="tokens")
    found = read_native(
        str(model_directory("olmoe")), corpus, label="function", device="cpu", **QUICK
    )
    assert found.functions is not None
    assert found.functions.unit == "tokens"
    kept = 0
    for batch in corpus.batches(16):
        text = batch.attention_mask & ~batch.special
        kept += (text & (batch.labels["function"] >= 0)).sum()
    assert found.functions.n_tokens.sum() == kept


def test_experts_that_were_copied_stand_out_among_independent_ones(tmp_path: Path):
    directory = tiny_model_directory("mixtral", tmp_path / "mixtral")
    bridge = load(str(directory), device="cpu")
    with torch.no_grad():
        block = native_blocks(bridge)[0]
        generator = torch.Generator().manual_seed(0)
        for mine, theirs in zip(block.expert(1), block.expert(0), strict=True):
            assert mine is not None
            assert theirs is not None
            mine.copy_(theirs + 0.05 * torch.randn(theirs.shape, generator=generator))
    found = read_native(bridge, labelled_corpus(), permutations=9, shuffles=20)
    assert found.overlap.cosine[0, 0, 1] > 0.9
    assert found.overlap.cosine_z[0, 0, 1] > 20
    others = found.overlap.cosine_z[1:]
    assert np.nanmax(np.abs(others)) < 6
    np.testing.assert_allclose(np.diagonal(found.overlap.cosine[1]), 1, atol=1e-5)


def test_what_cannot_be_is_refused_by_name(model_directory):
    mixture = str(model_directory("olmoe"))
    corpus = labelled_corpus()
    with pytest.raises(BadInput, match="no label 'topic': its labels are function, weight"):
        read_native(mixture, corpus, label="topic", device="cpu")
    with pytest.raises(BadInput, match="'weight' holds fractions"):
        read_native(mixture, corpus, label="weight", device="cpu")
    with pytest.raises(BadInput, match="4 experts cannot be dealt evenly to 3 devices"):
        read_native(mixture, corpus, capacity_factor=1.0, devices=3, device="cpu")
    with pytest.raises(BadInput, match="a olmoe model has no capacity|no capacity of its own"):
        read_native(mixture, corpus, devices=2, device="cpu")
    with pytest.raises(BadInput, match="needs a function label"):
        read_native(mixture, corpus, restrict="forbid", device="cpu")


def test_a_file_that_lacks_an_array_is_corrupt(model_directory, tmp_path: Path):
    from interp.results.finding import load_finding, save_finding

    found = read_native(str(model_directory("switch")), labelled_corpus(), device="cpu", **QUICK)
    header, arrays = load_finding(found.save(tmp_path / "a"), schema="interp.native-routing/1")
    del arrays["router_load.cv"]
    header = {k: v for k, v in header.items() if k not in ("schema", "data_sha256")}
    save_finding(tmp_path / "b", schema="interp.native-routing/1", header=header, arrays=arrays)
    with pytest.raises(CorruptFile, match="not a whole native routing"):
        NativeRouting.load(tmp_path / "b")


def test_the_noun_opens_without_torch():
    import subprocess

    code = "import sys, interp.modules.native.routing; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_figures_and_tables_draw_what_there_is(model_directory):
    bare = read_native(str(model_directory("switch")), labelled_corpus(), device="cpu", **QUICK)
    full = read_native(
        str(model_directory("olmoe")),
        labelled_corpus(),
        label="function",
        capacity_factor=0.5,
        device="cpu",
        **QUICK,
    )
    for found in (bare, full):
        site = found.sites[0]
        assert len(list(native_moe.load_figure(found).select_traces())) == len(found.sites)
        native_moe.function_figure(found, site)
        native_moe.capacity_figure(found)
        for rows in (native_moe.load_rows, native_moe.overlap_rows):
            heading, lines = rows(found)
            assert {len(line) for line in lines} == {len(heading)}
            assert len(lines) == len(found.sites)
    assert native_moe.function_rows(bare)[1] == []
    assert native_moe.restriction_rows(full)[1] == []
    for rows in (native_moe.function_rows, native_moe.capacity_rows):
        heading, lines = rows(full)
        assert {len(line) for line in lines} == {len(heading)}


def one_rank(rank: int, directory: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{out}/meeting", rank=rank, world_size=2)
    found = two_rank_reading(directory)
    found.save(Path(out) / f"rank-{rank}")
    dist.destroy_process_group()


def two_rank_reading(directory: str) -> NativeRouting:
    return read_native(
        directory,
        labelled_corpus(144),
        label="function",
        capacity_factor=1.0,
        group_sequences=2,
        batch_size=24,
        restrict="forbid",
        device="cpu",
        permutations=999,
        shuffles=2,
        draws=1,
    )


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(model_directory, tmp_path: Path):
    directory = str(model_directory("olmoe"))
    alone = everything(two_rank_reading(directory))
    spawn(one_rank, args=(directory, str(tmp_path)), nprocs=2)
    assert np.isfinite(alone["restriction.change"]).any()
    for rank in range(2):
        shared = everything(NativeRouting.load(tmp_path / f"rank-{rank}"))
        for name, value in alone.items():
            np.testing.assert_allclose(shared[name], value, atol=1e-9, err_msg=name)
