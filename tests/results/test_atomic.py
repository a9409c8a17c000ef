import errno
from pathlib import Path

import pytest

from interp.results.atomic import atomic_directory, atomic_file, check_out, write_json
from interp.results.errors import BadInput, Incomplete


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "out") as directory:
        (directory / "file").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").touch()
    with pytest.raises(BadInput, match="exists"), atomic_directory(tmp_path / "out"):
        pass
    assert (tmp_path / "out" / "kept").exists()


@pytest.mark.parametrize(
    ("marker", "content"),
    [
        ("header.json", '{"schema": "interp.mask/1"}'),
        ("interp.json", '{"schema": "interp.model/1"}'),
        ("study.json", '{"schema": "interp.study/1"}'),
    ],
)
def test_replacing_a_directory_of_ours_swaps_it_whole(
    tmp_path: Path, marker: str, content: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / marker).write_text(content)
    with atomic_directory(tmp_path / "out", replace=True) as directory:
        (directory / "new").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sub/thesis.txt", "years of work"),
        ("config.json", '{"model_type": "llama"}'),
        ("header.json", '{"schema": "theirs/1"}'),
        ("header.json", "[" * 100_000),
        ("study.json", "[]"),
    ],
)
def test_what_interp_did_not_make_is_never_replaced(
    tmp_path: Path, name: str, content: str
) -> None:
    file = tmp_path / "precious" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    for refused in (
        lambda: check_out(tmp_path / "precious", replace=True),
        lambda: atomic_directory(tmp_path / "precious", replace=True).__enter__(),
    ):
        with pytest.raises(BadInput, match="not something interp made, and is not overwritten"):
            refused()
    assert file.read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_file_is_not_replaced_by_a_directory(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BadInput, match="not something interp made"):
        check_out(tmp_path / "notes", replace=True)
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_link_to_a_directory_of_ours_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "study.json").write_text('{"schema": "interp.study/1"}')
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with atomic_directory(tmp_path / "out", replace=True) as directory:
        (directory / "new").touch()
    assert (tmp_path / "out" / "new").exists()
    assert (tmp_path / "real" / "study.json").exists()


def test_a_place_that_cannot_be_written_is_refused_at_the_door(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "out", Path("/proc/out"), tmp_path / ("n" * 250)):
        with pytest.raises(BadInput, match="cannot be written"):
            check_out(out)
        with pytest.raises(BadInput, match="cannot be written"), atomic_file(out) as temporary:
            temporary.write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_checking_a_place_makes_nothing(tmp_path: Path) -> None:
    check_out(tmp_path / "not" / "yet" / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_an_error_elsewhere_keeps_its_kind(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(Incomplete, match="disk is full"), atomic_directory(tmp_path / "out"):
        raise full
    with pytest.raises(FileNotFoundError), atomic_directory(tmp_path / "out"):
        (tmp_path / "absent").read_text()
    assert list(tmp_path.iterdir()) == []


def test_nan_does_not_reach_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "bad.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []
