import json
from pathlib import Path

import numpy as np
import pytest

from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import DATA, HEADER, load_finding, save_finding

SCHEMA = "interp.example/1"


@pytest.fixture
def finding(tmp_path: Path) -> Path:
    arrays = {"score": np.array([[1.5, np.nan]]), "count": np.arange(3)}
    return save_finding(tmp_path / "f", schema=SCHEMA, header={"unit": "nats"}, arrays=arrays)


def test_what_was_saved_is_loaded_missing_values_included(finding: Path) -> None:
    header, arrays = load_finding(finding, schema=SCHEMA)
    assert header["unit"] == "nats"
    np.testing.assert_array_equal(arrays["score"], [[1.5, np.nan]])
    np.testing.assert_array_equal(arrays["count"], [0, 1, 2])


def test_the_same_finding_is_the_same_bytes(finding: Path, tmp_path: Path) -> None:
    header, arrays = load_finding(finding, schema=SCHEMA)
    again = save_finding(
        tmp_path / "again", schema=SCHEMA, header={"unit": header["unit"]}, arrays=arrays
    )
    for name in (HEADER, DATA):
        assert (again / name).read_bytes() == (finding / name).read_bytes()


def test_another_schema_is_refused_by_name(finding: Path) -> None:
    with pytest.raises(BadInput, match="'interp.example/1', expected 'interp.example/2'"):
        load_finding(finding, schema="interp.example/2")


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_a_flipped_bit_is_noticed(finding: Path, position: int) -> None:
    data = finding / DATA
    content = bytearray(data.read_bytes())
    content[position % len(content)] ^= 4
    data.write_bytes(content)
    with pytest.raises(CorruptFile, match="checksum"):
        load_finding(finding, schema=SCHEMA)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 20_000, '{"schema": 3}'])
def test_a_header_that_is_no_header_is_refused(finding: Path, text: str) -> None:
    (finding / HEADER).write_text(text)
    with pytest.raises((BadInput, CorruptFile)):
        load_finding(finding, schema=SCHEMA)


def test_a_missing_data_file_is_refused(finding: Path) -> None:
    (finding / DATA).unlink()
    with pytest.raises(CorruptFile, match="missing"):
        load_finding(finding, schema=SCHEMA)


def test_data_that_is_no_safetensors_is_refused(finding: Path) -> None:
    (finding / DATA).write_bytes(b"\x80\x04pickle")
    header = json.loads((finding / HEADER).read_text())
    from interp.results.hashing import sha256_file

    header["data_sha256"] = sha256_file(finding / DATA)
    (finding / HEADER).write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match="not a safetensors file"):
        load_finding(finding, schema=SCHEMA)
