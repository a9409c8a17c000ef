import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from interp.models.weight_files import INDEX, SINGLE, locate_tensors, read_layout
from interp.results.errors import BadInput, CorruptFile, InterpError, Unsupported

F32_2 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def raw_file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_the_spans_are_where_safetensors_wrote_the_numbers(tmp_path):
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.arange(4, dtype=np.int64)}
    file = tmp_path / SINGLE
    save_file(arrays, file)
    content = file.read_bytes()
    for name, span in read_layout(file).items():
        piece = content[span.start : span.start + span.n_bytes]
        assert piece == arrays[name].tobytes()
        assert span.shape == arrays[name].shape


def test_an_empty_tensor_and_a_scalar_are_spans_too(tmp_path):
    save_file({"e": np.zeros((0, 3), np.float32), "s": np.array(2, np.float32)}, tmp_path / SINGLE)
    spans = read_layout(tmp_path / SINGLE)
    assert spans["e"].n_entries == 0
    assert spans["s"].n_entries == 1


@pytest.mark.parametrize(
    ("header", "data", "length", "message"),
    [
        (b"{}", b"", 1 << 62, "claims a header"),
        (b"{}", b"", 99, "claims a header"),
        (b"[1]", b"", None, "no JSON object"),
        (b"{nonsense", b"", None, "not valid"),
        (b"[" * 200_000, b"", None, "not valid"),
        (b'{"w":%s,"w":%s}' % ((json.dumps(F32_2).encode(),) * 2), b"\0" * 8, None, "twice"),
        ({"w\0x": F32_2}, b"\0" * 8, None, "control characters"),
        ({"w": F32_2}, b"\0" * 7, None, "its tensors end"),
        ({"w": F32_2}, b"\0" * 9, None, "its tensors end"),
        ({"w": F32_2, "v": F32_2}, b"\0" * 8, None, "starts at byte"),
        ({"w": F32_2 | {"data_offsets": [4, 12]}}, b"\0" * 12, None, "starts at byte"),
        ({"w": F32_2 | {"shape": [1 << 60, 1 << 60]}}, b"\0" * 8, None, "needs"),
        ({"w": F32_2 | {"shape": [-2, -1]}}, b"\0" * 8, None, "shape"),
        ({"w": F32_2 | {"data_offsets": [8, 0]}}, b"\0" * 8, None, "needs"),
        ({"w": F32_2 | {"data_offsets": [0, 1e300]}}, b"\0" * 8, None, "offsets"),
        ({"w": 3}, b"", None, "shape"),
    ],
)
def test_a_hostile_header_is_refused_by_name(tmp_path, header, data, length, message):
    file = raw_file(tmp_path / SINGLE, header, data, length)
    with pytest.raises(CorruptFile, match=message) as refusal:
        read_layout(file)
    assert str(file) in str(refusal.value)


def test_a_number_format_that_nobody_knows_is_unsupported(tmp_path):
    raw_file(tmp_path / SINGLE, {"w": F32_2 | {"dtype": "F4"}}, b"\0" * 8)
    with pytest.raises(Unsupported, match="F4"):
        read_layout(tmp_path / SINGLE)


def sharded(directory, shards, weight_map):
    for file, arrays in shards.items():
        save_file(arrays, directory / file)
    (directory / INDEX).write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    ("shards", "weight_map", "message"),
    [
        (["x", "x"], {"x": "0.safetensors", "y": "1.safetensors"}, "again"),
        (["x", "y"], {"x": "0.safetensors", "y": "0.safetensors", "z": "1.safetensors"}, "places"),
        (["x", "y"], {"x": "0.safetensors", "q": "1.safetensors"}, "places 'q'"),
        (["x", "y"], {"x": "0.safetensors", "y": "2.safetensors"}, "missing"),
        (["x", "y"], {"x": "../0.safetensors", "y": "1.safetensors"}, "expected a file in"),
        (["x", "y"], {"x": "0.safetensors", "y": "1.bin"}, "expected a file in"),
        (["x", "y"], [], "no weight_map"),
    ],
)
def test_an_index_that_disagrees_with_its_shards_is_refused(tmp_path, shards, weight_map, message):
    one = np.zeros(3, np.float32)
    sharded(tmp_path, {f"{i}.safetensors": {n: one} for i, n in enumerate(shards)}, weight_map)
    with pytest.raises(CorruptFile, match=message):
        locate_tensors(tmp_path)


def test_a_tensor_that_the_index_does_not_name_is_refused(tmp_path):
    one = np.zeros(3, np.float32)
    sharded(tmp_path, {"0.safetensors": {"x": one, "hidden": one}}, {"x": "0.safetensors"})
    with pytest.raises(CorruptFile, match="hidden"):
        locate_tensors(tmp_path)


def test_a_directory_without_safetensors_says_what_to_do(tmp_path):
    with pytest.raises(Unsupported, match="save_pretrained"):
        locate_tensors(tmp_path)
    with pytest.raises(BadInput, match="not a directory"):
        locate_tensors(tmp_path / "nothing")


def test_any_truncation_of_a_real_file_is_refused(tmp_path):
    file = tmp_path / SINGLE
    save_file({"a": np.arange(5, dtype=np.float32), "b": np.arange(3, dtype=np.float64)}, file)
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(InterpError):
            read_layout(file)
