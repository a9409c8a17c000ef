"""Names: bundled before directory before hub, and one line for what is none of them."""

from pathlib import Path

import pytest

from interp.models.reference import bundled_names, resolve, split_step
from interp.models.series import checkpoints
from interp.results.errors import BadInput
from tests.models import tiny_model_directory


def series(root: Path, steps: list[int]) -> Path:
    for step in steps:
        tiny_model_directory("gpt2", root / f"step-{step}", seed=step)
    return root


def test_a_bundled_name_is_found_without_and_with_its_variant():
    assert "polyglot/base" in bundled_names()
    base, full = resolve("polyglot"), resolve("polyglot/base")
    assert base.kind == full.kind == "bundled"
    assert base.path == full.path
    assert base.path is not None
    assert (base.path / "config.json").is_file()


def test_an_unknown_variant_is_refused_with_those_there_are():
    with pytest.raises(BadInput, match="polyglot/ability"):
        resolve("polyglot/nosuch")


def test_a_directory_is_meant_when_the_name_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_model_directory("gpt2", tmp_path / "polyglot")
    assert resolve("./polyglot").kind == "directory"
    assert resolve("polyglot").kind == "bundled"


def test_a_hub_id_needs_no_network_to_be_resolved():
    reference = resolve("EleutherAI/pythia-70m", revision="step1000")
    assert (reference.kind, reference.hub_id, reference.revision, reference.path) == (
        "hub",
        "EleutherAI/pythia-70m",
        "step1000",
        None,
    )
    assert resolve("EleutherAI/pythia-70m@512").revision == "step512"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "../../etc/passwd",
        "/no/such/directory",
        "./nosuch",
        "~nosuch/model",
        "a/b/c",
        "<script>alert(1)</script>",
        "name\0null",
        "name with spaces",
        "http://example.com/model",
        "\u202emodel",
        "x" * 5000 + "/y/z",
    ],
)
def test_a_name_that_is_nothing_is_refused_in_one_line(name: str):
    with pytest.raises(BadInput) as error:
        resolve(name)
    assert "\n" not in str(error.value)


def test_a_file_and_an_empty_directory_are_refused(tmp_path: Path):
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(BadInput, match="is a file"):
        resolve(str(tmp_path / "model.gguf"))
    with pytest.raises(BadInput, match=r"config\.json"):
        resolve(str(tmp_path))


def test_a_revision_of_a_directory_is_refused(tmp_path: Path):
    tiny_model_directory("gpt2", tmp_path)
    with pytest.raises(BadInput, match="revision"):
        resolve(str(tmp_path), revision="main")


def test_a_step_is_split_off_only_where_it_is_a_number():
    assert split_step("a/b@100") == ("a/b", 100)
    assert split_step("a@b") == ("a@b", None)
    assert split_step("@7") == ("@7", None)


def test_a_directory_whose_name_holds_an_at_sign_is_itself(tmp_path: Path):
    tiny_model_directory("gpt2", tmp_path / "run@5")
    assert resolve(str(tmp_path / "run@5")).path == tmp_path / "run@5"


def test_checkpoints_come_by_number_not_by_name(tmp_path: Path):
    root = series(tmp_path / "run", [100, 20, 3])
    (root / "step-notes").mkdir()
    assert [point.step for point in checkpoints(str(root))] == [3, 20, 100]
    for point in checkpoints(str(root)):
        assert resolve(point.ref).path == root / f"step-{point.step}"
        assert resolve(f"{root}@{point.step}").path == root / f"step-{point.step}"


def test_a_series_named_without_a_step_says_which_there_are(tmp_path: Path):
    root = series(tmp_path / "run", [10, 2])
    with pytest.raises(BadInput, match="2, 10"):
        resolve(str(root))
    with pytest.raises(BadInput, match="no step 5"):
        resolve(f"{root}@5")


def test_what_is_no_series_is_refused(tmp_path: Path):
    tiny_model_directory("gpt2", tmp_path / "model")
    with pytest.raises(BadInput, match="no series"):
        checkpoints(str(tmp_path / "model"))
    with pytest.raises(BadInput, match="leave @STEP out"):
        checkpoints("EleutherAI/pythia-70m@5")
