"""What a transfer wrote can be undone: the base comes back with the same bits, or by its name."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.abilities.moving.lineage import FILE as LINEAGE
from interp.abilities.moving.transfer import transfer
from interp.abilities.streaming.writer import StagedDirectory
from interp.abilities.undoing.undo import undo
from interp.abilities.undoing.undo_record import FOLDER, UndoRecord
from interp.models.identity import model_identity
from interp.models.weight_files import SINGLE
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.finding import DATA, HEADER
from interp.results.provenance import Provenance
from tests.abilities.checkpoints import (
    assert_same_bits,
    bits,
    near,
    random_tensors,
    read_model,
    write_model,
)

FORMATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
NOTHING = Provenance.collect("t", model_hash=None, corpus_hash=None, seed=0, settings={})
MATRIX = "model.layers.0.mlp.weight"


class Killed(BaseException):
    """Stands for a signal: nothing catches it."""


def mask_of(directory, share, seed=5):
    rng = np.random.default_rng(seed)
    return NeuronMask.from_dense(
        {name: rng.random(tuple(t.shape)) < share for name, t in read_model(directory).items()},
        level="entry",
        recipe={},
        base=model_identity(directory),
        provenance=NOTHING,
    )


def same_files(one, two):
    """Whether two directories hold the same files, byte for byte; a model's card aside."""
    found = [
        {f.name: f.read_bytes() for f in place.iterdir() if f.is_file() and f.suffix != ".md"}
        for place in (one, two)
    ]
    return found[0] == found[1]


@pytest.fixture
def place(tmp_path):
    """A base, an ability at a fifth of its entries, and a language model that changes most."""
    base = random_tensors(0, torch.bfloat16)
    for i, name in enumerate(["base", "ability", "language"]):
        write_model(tmp_path / name, near(base, i) if i else base, shards=2)
    mask = mask_of(tmp_path / "base", 0.2)
    extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights", mask=mask)
    return tmp_path


@settings(max_examples=25)
@given(
    dtype=st.sampled_from(FORMATS),
    shards=st.sampled_from([1, 2, 6]),
    chunk=st.sampled_from([1, 7, 8, 1 << 18]),
    threads=st.sampled_from([1, 4]),
    dense=st.booleans(),
    gamma=st.sampled_from([1.0, 0.3, -2.0]),
)
def test_undo_gives_the_input_back_bit_for_bit(
    tmp_path_factory, dtype, shards, chunk, threads, dense, gamma
):
    place = tmp_path_factory.mktemp("undo")
    base = random_tensors(0, dtype)
    write_model(place / "base", base, shards=shards)
    write_model(place / "ability", near(base, 1))
    write_model(place / "language", near(base, 2))
    mask = mask_of(place / "base", 0.3)
    weights = extract(place / "base", place / "ability", place / "w", mask=mask)
    made = transfer(
        place / "base",
        weights,
        place / "out",
        language=place / "language" if dense else None,
        gamma=gamma,
        undo="full",
        chunk=chunk,
        threads=threads,
    )
    before = read_model(place / "base")
    differing = sum(
        int(
            (t.view(torch.uint8) != before[name].view(torch.uint8))
            .view(-1, t.itemsize)
            .any(1)
            .sum()
        )
        for name, t in read_model(place / "out").items()
    )
    assert made.changed == differing > 0
    shutil.rmtree(place / "base")
    restored = undo(place / "out", place / "back", chunk=chunk, threads=threads)
    assert_same_bits(read_model(place / "back"), base)
    assert restored.root == model_identity(place / "back").root
    assert restored.source == "undo"


def test_the_whole_directory_comes_back_with_its_lineage(place):
    once = transfer(place / "base", place / "weights", place / "once", undo="full")
    twice = transfer(once.path, place / "weights", place / "twice", gamma=-0.5)
    assert twice.undo == "full"
    undo(twice.path, place / "back")
    assert same_files(place / "once", place / "back")
    undo(once.path, place / "start")
    assert same_files(place / "base", place / "start")
    assert not (place / "start" / LINEAGE).exists()


def test_zeros_of_either_sign_and_infinities_come_back(tmp_path):
    tensors = {"w.weight": torch.tensor([-0.0, float("inf"), 1.0, -0.0] * 16)}
    moved = {"w.weight": torch.where(tensors["w.weight"] == 1, 2.0, tensors["w.weight"])}
    moved["w.weight"][0] = 1e-30
    base = write_model(tmp_path / "base", tensors)
    chosen = (moved["w.weight"] != tensors["w.weight"]).numpy()
    mask = NeuronMask.from_dense(
        {"w.weight": chosen},
        level="entry",
        recipe={},
        base=model_identity(base),
        provenance=NOTHING,
    )
    ability = write_model(tmp_path / "a", moved)
    weights = extract(base, ability, tmp_path / "w", mask=mask)
    transfer(base, weights, tmp_path / "out")
    assert_same_bits(read_model(tmp_path / "out"), moved)
    undo(tmp_path / "out", tmp_path / "back")
    assert (tmp_path / "back" / SINGLE).read_bytes() == (base / SINGLE).read_bytes()


def test_a_transfer_that_changes_nothing_is_undone_to_the_same_files(place):
    made = transfer(place / "base", place / "weights", place / "out", gamma=0.0)
    assert (made.changed, made.undo) == (0, "full")
    undo(place / "out", place / "back")
    assert same_files(place / "base", place / "back")


def test_a_tied_head_comes_back_with_its_embedding(tmp_path):
    for i, name in enumerate(["base", "ability"]):
        tensors = near(random_tensors(0), i)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        write_model(tmp_path / name, tensors, tie_word_embeddings=True)
    weights = extract(tmp_path / "base", tmp_path / "ability", tmp_path / "w")
    transfer(tmp_path / "base", weights, tmp_path / "out", undo="full")
    undo(tmp_path / "out", tmp_path / "back")
    assert same_files(tmp_path / "base", tmp_path / "back")


def test_whole_numbers_and_empty_tensors_come_back(tmp_path):
    base = {"w.weight": torch.ones(9), "steps": torch.tensor([1, 2]), "none": torch.ones(0, 3)}
    place = write_model(tmp_path / "base", base)
    other = write_model(tmp_path / "other", base | {"w.weight": torch.arange(9.0)})
    transfer(place, extract(place, other, tmp_path / "w"), tmp_path / "out", undo="full")
    undo(tmp_path / "out", tmp_path / "back")
    assert same_files(place, tmp_path / "back")


def test_the_record_costs_a_bit_an_entry_and_the_words_that_changed(tmp_path):
    shapes = {"a.weight": (400, 300), "b.weight": (400, 300)}
    base = random_tensors(0, torch.bfloat16, shapes)
    place = write_model(tmp_path / "base", base)
    ability = write_model(tmp_path / "ability", near(base, 1))
    mask = NeuronMask.from_dense(
        {"a.weight": np.random.default_rng(0).random((400, 300)) < 0.05},
        level="entry",
        recipe={},
        base=model_identity(place),
        provenance=NOTHING,
    )
    weights = extract(place, ability, tmp_path / "w", mask=mask)
    made = transfer(place, weights, tmp_path / "out")
    assert made.undo == "full"
    header = (tmp_path / "out" / FOLDER / HEADER).stat().st_size
    data = (tmp_path / "out" / FOLDER / DATA).stat().st_size
    assert made.undo_bytes == header + data
    assert 0 <= data - (400 * 300 // 8 + 2 * made.changed) < 400


@pytest.mark.parametrize(("eta", "undone"), [(1.0, "base"), (0.0, "full")])
def test_where_more_than_half_changes_the_base_is_named_and_nothing_kept(place, eta, undone):
    made = transfer(
        place / "base", place / "weights", place / "out", language=place / "language", eta=eta
    )
    assert made.undo == undone
    assert (made.share_changed > 0.5) == (undone == "base")
    assert (made.path / FOLDER / DATA).exists() == (undone == "full")
    back = undo(made.path, place / "back")
    assert back.source == ("base" if undone == "base" else "undo")
    assert same_files(place / "base", place / "back")


def test_what_looked_like_few_changes_and_was_many_is_given_up_midway(place, monkeypatch):
    from interp.abilities.undoing import undo_writer

    monkeypatch.setattr(undo_writer, "_expected_changes", lambda merge, bounds: 0)
    made = transfer(place / "base", place / "weights", place / "out", language=place / "language")
    assert made.undo == "base"
    assert [file.name for file in (made.path / FOLDER).iterdir()] == [HEADER]
    undo(made.path, place / "back")
    assert same_files(place / "base", place / "back")


def test_a_language_model_that_differs_in_one_tensor_does_not_count_as_dense(tmp_path):
    base = random_tensors(0)
    place = write_model(tmp_path / "base", base)
    language = base | {MATRIX: base[MATRIX] + 1}
    write_model(tmp_path / "language", language)
    mask = mask_of(place, 0.1)
    weights = extract(place, write_model(tmp_path / "a", near(base, 1)), tmp_path / "w", mask=mask)
    made = transfer(place, weights, tmp_path / "out", language=tmp_path / "language")
    assert made.undo == "full"
    undo(made.path, tmp_path / "back")
    assert same_files(place, tmp_path / "back")


def test_the_base_is_found_where_it_is_said_to_be_now(place):
    transfer(place / "base", place / "weights", place / "out", language=place / "language")
    (place / "base").rename(place / "moved")
    with pytest.raises(Mismatch, match=r"only the base was recorded.*--base"):
        undo(place / "out", place / "back")
    with pytest.raises(Mismatch, match="is needed"):
        undo(place / "out", place / "back", base=place / "language")
    assert not (place / "back").exists()
    undo(place / "out", place / "back", base=place / "moved")
    assert same_files(place / "moved", place / "back")


def test_another_number_format_is_undone_by_the_base_alone(place):
    with pytest.raises(BadInput, match="--undo full"):
        transfer(place / "base", place / "weights", place / "out", dtype="float32", undo="full")
    assert not (place / "out").exists()
    made = transfer(place / "base", place / "weights", place / "out", dtype="float32")
    assert made.undo == "base"
    undo(made.path, place / "back")
    assert same_files(place / "base", place / "back")


def test_a_model_that_was_changed_since_is_not_undone(place):
    made = transfer(place / "base", place / "weights", place / "out")
    file = sorted(made.path.glob("*.safetensors"))[0]
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Mismatch, match=r"changed since.*base"):
        undo(made.path, place / "back")
    assert not (place / "back").exists()


def test_a_model_that_no_transfer_wrote_is_not_undone(place):
    with pytest.raises(BadInput, match="only what `interp ability transfer` wrote"):
        undo(place / "base", place / "back")


def test_undo_data_that_were_altered_are_noticed_before_anything_appears(place):
    made = transfer(place / "base", place / "weights", place / "out")
    data = made.path / FOLDER / DATA
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    for _ in range(2):
        with pytest.raises(CorruptFile, match=r"restores .* altered"):
            undo(made.path, place / "back")
        assert not list(place.glob("back*"))
    undo(made.path, place / "back", base=place / "base")
    assert same_files(place / "base", place / "back")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "none"}, "kind"),
        ({"tensors": {MATRIX: {"dtype": "X", "shape": [1], "count": 1}}}, "kind"),
        ({"tensors": {MATRIX: {"dtype": "BF16", "shape": [9, 6], "count": 1}}}, "bitmap"),
        ({"tensors": {"../x": {"dtype": "BF16", "shape": [9, 6], "count": 1}}}, "x"),
        ({"tensors": 3}, "garbles"),
        ({"provenance": {}}, "garbles"),
    ],
)
def test_an_undo_header_that_lies_is_refused(place, change, word):
    made = transfer(place / "base", place / "weights", place / "out")
    header = made.path / FOLDER / HEADER
    header.write_text(json.dumps(json.loads(header.read_text()) | change))
    with pytest.raises(CorruptFile, match=word):
        undo(made.path, place / "back")
    assert not (place / "back").exists()
    header.write_text(json.dumps({"schema": "interp.undo/2"}))
    with pytest.raises(BadInput, match="upgrade"):
        UndoRecord.load(made.path)


@pytest.mark.parametrize("undone", ["full", "base"])
def test_stopped_after_any_journal_entry_undo_goes_on_to_the_same_bytes(place, monkeypatch, undone):
    made = transfer(place / "base", place / "weights", place / "out", undo=undone)
    real, synced = StagedDirectory._sync_pending, [0]
    steps = 0
    while True:
        steps, synced[0] = steps + 1, 0

        def killed(self, limit=steps):
            real(self)
            synced[0] += 1
            if synced[0] == limit:
                raise Killed

        monkeypatch.setattr(StagedDirectory, "_sync_pending", killed)
        try:
            undo(made.path, place / "back", chunk=32, threads=1, sync_every=1)
        except Killed:
            assert not (place / "back").exists()
            monkeypatch.setattr(StagedDirectory, "_sync_pending", real)
            undo(made.path, place / "back", chunk=32, threads=1, sync_every=1)
            assert same_files(place / "base", place / "back")
            shutil.rmtree(place / "back")
            continue
        break
    assert steps > 12


def test_subtracting_what_was_added_would_not_give_the_base_back(place):
    """Why originals are kept: the sum's rounding has destroyed low bits."""
    made = transfer(place / "base", place / "weights", place / "out")
    transfer(made.path, place / "weights", place / "minus", gamma=-1.0)
    base, minus = read_model(place / "base"), read_model(place / "minus")
    assert any(bits(base[name]) != bits(minus[name]) for name in base)
