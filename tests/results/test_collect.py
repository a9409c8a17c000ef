from pathlib import Path

import numpy as np
import pytest

from interp.results.collect import add_finding, kind_of
from interp.results.errors import BadInput
from interp.results.finding import save_finding
from interp.results.study import Study


def _finding(path: Path, schema: str = "interp.mask/1") -> Path:
    return save_finding(path, schema=schema, header={}, arrays={"a": np.zeros(1)})


def test_a_finding_is_copied_into_a_study_that_did_not_exist(tmp_path: Path) -> None:
    made = _finding(tmp_path / "My Mask")
    add_finding(tmp_path / "study", made, title="mine")
    (entry,) = Study.open(tmp_path / "study").entries()
    assert (entry.id, entry.kind, entry.title) == ("my-mask", "mask", "mine")
    for file in made.iterdir():
        assert (entry.path / file.name).read_bytes() == file.read_bytes()


def test_a_second_finding_of_the_same_id_is_refused_and_the_first_kept(tmp_path: Path) -> None:
    made = _finding(tmp_path / "mask")
    add_finding(tmp_path / "study", made)
    with pytest.raises(BadInput, match="already has a finding 'mask'"):
        add_finding(tmp_path / "study", _finding(tmp_path / "other"), id="mask")
    assert len(Study.open(tmp_path / "study").entries()) == 1


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ("interp.mask/1", "mask"),
        ("interp.ability/1", "ability"),
        ("interp.comparison/1", "comparison"),
    ],
)
def test_a_kind_is_read_from_the_schema(tmp_path: Path, schema: str, kind: str) -> None:
    assert kind_of(_finding(tmp_path / "finding", schema)) == kind


@pytest.mark.parametrize("text", [None, "{", "[]", "[" * 20_000, '{"schema": "other/1"}'])
def test_what_is_no_finding_is_refused_and_no_study_is_started(
    tmp_path: Path, text: str | None
) -> None:
    (tmp_path / "finding").mkdir()
    if text is not None:
        (tmp_path / "finding" / "header.json").write_text(text)
    with pytest.raises(BadInput):
        add_finding(tmp_path / "study", tmp_path / "finding")
    assert not (tmp_path / "study").exists()
