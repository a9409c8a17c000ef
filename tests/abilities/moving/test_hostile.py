"""Broken and hostile files: one line that names tensor and file, and never half an output.

Every case is given to extract (as the ability), to transfer (as the language) and, where a written
model can be so, to undo. What is refused for other reasons is in test_compatibility.py.
"""

import json
import shutil
import tracemalloc

import pytest
import torch

from interp.abilities.moving.extract import extract
from interp.abilities.moving.transfer import transfer
from interp.abilities.undoing.undo import undo
from interp.abilities.undoing.undo_record import FOLDER
from interp.models.weight_files import INDEX, SINGLE
from interp.results.errors import CorruptFile, Incomplete, InterpError, Mismatch
from interp.results.finding import DATA, HEADER
from tests.abilities.checkpoints import near, random_tensors, write_model

MATRIX = "model.layers.0.mlp.weight"


@pytest.fixture
def place(tmp_path):
    base = random_tensors(0)
    write_model(tmp_path / "base", base)
    write_model(tmp_path / "ability", near(base, 1))
    write_model(tmp_path / "other", near(base, 2))
    extract(tmp_path / "base", tmp_path / "ability", tmp_path / "weights")
    transfer(tmp_path / "base", tmp_path / "weights", tmp_path / "made", undo="full")
    return tmp_path


def works(place, broken):
    """The commands that read the model `broken`; it stands at that name for each of them."""
    if broken == "made":
        return [lambda: undo(place / "made", place / "out")]
    return [
        lambda: extract(place / "base", place / "other", place / "out"),
        lambda: transfer(
            place / "base", place / "weights", place / "out", language=place / "other"
        ),
    ]


def assert_refused(place, broken, kind, *words):
    for work in works(place, broken):
        with pytest.raises(kind) as refusal:
            work()
        message = str(refusal.value)
        assert all(word in message for word in words), message
        assert "\n" not in message
        assert not (place / "out").exists()
        for left in place.glob("out.tmp-*"):
            shutil.rmtree(left)


def rewrite_header(file, change):
    """Replace the header of a safetensors file by what `change` makes of its text."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text = change(content[8 : 8 + length].decode())
    file.write_bytes(
        len(text.encode()).to_bytes(8, "little") + text.encode() + content[8 + length :]
    )


def parsed(change):
    """A change of the header as JSON."""

    def apply(text):
        header = json.loads(text)
        change(header)
        return json.dumps(header)

    return apply


def overlap(header):
    one, two = (header[name]["data_offsets"] for name in sorted(header)[1:3])
    two[:] = [one[0], one[0] + two[1] - two[0]]


def twice(text):
    name = json.dumps(MATRIX)
    entry = json.dumps(json.loads(text)[MATRIX])
    return text.rstrip()[:-1] + f",{name}:{entry}" + "}"


def longer(header):
    header[MATRIX]["shape"] = [1 << 40, 1 << 40]


def beyond(header):
    start, _ = header[MATRIX]["data_offsets"]
    header[MATRIX] |= {"shape": [1 << 40], "data_offsets": [start, start + (4 << 40)]}


@pytest.mark.parametrize("broken", ["other", "made"])
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (parsed(overlap), "starts at byte"),
        (twice, "stands in it twice"),
        (parsed(longer), MATRIX),
        (parsed(beyond), "starts at byte"),
        (parsed(lambda header: header[MATRIX].update(data_offsets=[-4, 0])), MATRIX),
        (parsed(lambda header: header[MATRIX].update(shape=["9", 6])), MATRIX),
        (lambda text: text[:-9], "header"),
        (lambda text: "[" * 9999, "header"),
    ],
)
def test_a_header_that_lies_about_its_tensors(place, broken, change, word):
    rewrite_header(place / broken / SINGLE, change)
    assert_refused(place, broken, CorruptFile, SINGLE, word)


@pytest.mark.parametrize("broken", ["other", "made"])
@pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 1, 100_000_001])
def test_a_header_of_huge_length_is_refused_without_making_room_for_it(place, broken, length):
    file = place / broken / SINGLE
    file.write_bytes(length.to_bytes(8, "little") + file.read_bytes()[8:])
    tracemalloc.start()
    try:
        assert_refused(place, broken, CorruptFile, SINGLE, f"{length} bytes")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_tensor_named_like_a_path_is_a_name_and_no_path(place):
    name = "../../escaped.weight"
    for model in ("base", "ability"):
        tensors = random_tensors(0) | {name: torch.full((3,), 1.0 + (model == "ability"))}
        shutil.rmtree(place / model)
        write_model(place / model, tensors)
    before = {path.name for path in place.parent.iterdir()}
    extract(place / "base", place / "ability", place / "w")
    transfer(place / "base", place / "w", place / "out", undo="full")
    undo(place / "out", place / "back")
    assert {path.name for path in place.parent.iterdir()} == before
    assert (place / "back" / SINGLE).read_bytes() == (place / "base" / SINGLE).read_bytes()
    shutil.rmtree(place / "out")
    assert_refused(place, "other", Mismatch, "other", name)


def test_an_index_that_names_a_file_elsewhere(place):
    for shards in ("../base/model.safetensors", "/etc/passwd", "gone.safetensors"):
        index = {"metadata": {}, "weight_map": {MATRIX: shards}}
        (place / "other" / INDEX).write_text(json.dumps(index))
        assert_refused(place, "other", CorruptFile, shards)


def test_a_tensor_in_two_shards(place):
    shutil.copy(place / "other" / SINGLE, place / "other" / "b.safetensors")
    names = {name: SINGLE for name in random_tensors(0)} | {MATRIX: "b.safetensors"}
    (place / "other" / INDEX).write_text(json.dumps({"weight_map": names}))
    assert_refused(place, "other", CorruptFile, "and again in", "b.safetensors")


@pytest.mark.parametrize("broken", ["other", "made"])
def test_a_truncated_file(place, broken):
    file = place / broken / SINGLE
    file.write_bytes(file.read_bytes()[:-5])
    assert_refused(place, broken, CorruptFile, str(file))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_in_the_base(place, value):
    tensors = random_tensors(0)
    tensors[MATRIX][2, 3] = value
    shutil.rmtree(place / "base")
    write_model(place / "base", tensors)
    for work in (
        lambda: extract(place / "base", place / "other", place / "out"),
        lambda: transfer(place / "base", place / "weights", place / "out", force=True),
    ):
        with pytest.raises(CorruptFile, match=rf"{MATRIX}.*base.*{value} at entry 15"):
            work()
        assert not (place / "out").exists()


@pytest.mark.parametrize("file", [DATA, HEADER])
def test_undo_data_that_are_cut_or_gone(place, file):
    path = place / "made" / FOLDER / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert_refused(place, "made", CorruptFile, file)
    path.write_bytes(b"")
    assert_refused(place, "made", CorruptFile, file)
    path.unlink()
    assert_refused(place, "made", InterpError, file)


def test_undo_data_with_a_hostile_header(place):
    data = place / "made" / FOLDER / DATA
    whole = data.read_bytes()
    data.write_bytes((1 << 62).to_bytes(8, "little") + whole[8:])
    assert_refused(place, "made", CorruptFile, DATA)
    data.write_bytes(whole)
    rewrite_header(data, parsed(overlap))
    assert_refused(place, "made", CorruptFile, DATA, "starts at byte")
    data.write_bytes(whole)
    rewrite_header(data, parsed(lambda header: header.pop("__metadata__", None)))
    header = json.loads((place / "made" / FOLDER / HEADER).read_text())
    header["tensors"][MATRIX]["count"] += 1
    (place / "made" / FOLDER / HEADER).write_text(json.dumps(header))
    assert_refused(place, "made", CorruptFile, MATRIX)


def test_a_disk_that_fills_up_while_undoing_leaves_nothing_and_goes_on(place, monkeypatch):
    import errno
    import os

    real, written = os.pwrite, [0]

    def full(descriptor, data, offset):
        written[0] += 1
        if written[0] > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(Incomplete, match="disk is full"):
            undo(place / "made", place / "out", chunk=32)
    assert not (place / "out").exists()
    undo(place / "made", place / "out", chunk=32)
    assert (place / "out" / SINGLE).read_bytes() == (place / "base" / SINGLE).read_bytes()
