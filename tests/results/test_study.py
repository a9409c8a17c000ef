import json
from pathlib import Path

import pytest

from interp.results.errors import BadInput, CorruptFile
from interp.results.provenance import Provenance
from interp.results.study import INDEX, Study


@pytest.fixture
def provenance() -> Provenance:
    return Provenance.collect(
        "interp demo", model_hash="ab", corpus_hash=None, seed=0, settings={"share": 0.2}
    )


@pytest.fixture
def study(tmp_path: Path, provenance: Provenance) -> Study:
    return Study.create(tmp_path / "study", title="A <title>", provenance=provenance)


def test_a_study_opens_as_it_was_left(study: Study, provenance: Provenance) -> None:
    (study.path / "masks" / "located").mkdir(parents=True)
    study.add("located", kind="mask", title="20%", path=study.path / "masks" / "located")
    opened = Study.open(study.path)
    assert opened.title == "A <title>"
    assert opened.provenance == provenance
    assert [entry.id for entry in opened.entries("mask")] == ["located"]
    assert opened.entries("store") == []
    assert opened.entry("located").path == study.path.resolve() / "masks" / "located"


def test_a_study_can_be_moved(study: Study, tmp_path: Path) -> None:
    study.add("located", kind="mask", title="20%", path=study.path / "located")
    moved = study.path.rename(tmp_path / "elsewhere")
    assert Study.open(moved).entry("located").path == moved.resolve() / "located"


def test_adding_the_same_id_again_replaces_it(study: Study) -> None:
    study = study.add("a", kind="mask", title="first", path=study.path / "a")
    study = study.add("a", kind="mask", title="second", path=study.path / "a")
    assert [entry.title for entry in study.entries()] == ["second"]


@pytest.mark.parametrize("path", ["../outside", "/etc", "a/../../b"])
def test_a_finding_outside_the_study_is_refused(study: Study, path: str) -> None:
    content = json.loads((study.path / INDEX).read_text())
    content["entries"] = [{"id": "x", "kind": "mask", "title": "t", "path": path}]
    (study.path / INDEX).write_text(json.dumps(content))
    with pytest.raises(BadInput, match="outside"):
        Study.open(study.path)


@pytest.mark.parametrize("id", ["", "../x", "A", "a b", "<script>", "a" * 81])
def test_an_id_that_could_be_a_path_or_markup_is_refused(study: Study, id: str) -> None:
    with pytest.raises(BadInput, match="finding id"):
        study.add(id, kind="mask", title="t", path=study.path / "x")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "interp.study/1"}', "[" * 20_000])
def test_an_index_that_is_none_is_refused(study: Study, text: str) -> None:
    (study.path / INDEX).write_text(text)
    with pytest.raises(CorruptFile, match="not a study's index"):
        Study.open(study.path)


def test_a_directory_in_use_is_not_taken_over(study: Study, provenance: Provenance) -> None:
    with pytest.raises(BadInput, match="not empty"):
        Study.create(study.path, title="other", provenance=provenance)
