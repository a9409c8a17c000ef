import json
import subprocess
import sys
from pathlib import Path

import pytest

from interp.evaluation.comparison import Comparison
from interp.results.errors import BadInput
from interp.results.study import Study

ARMS = {
    "base",
    "language_model",
    "ability_model",
    "transfer",
    "random_neurons",
    "task_arithmetic",
    "ceiling",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("demo") / "study"
    command = [sys.executable, "-m", "interp.cli.app", "demo", "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return out, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_transfer_opens_the_target_languages_at_little_cost(demo: tuple[Path, dict]) -> None:
    _, result = demo
    target, general = result["target_accuracy"], result["general_accuracy"]
    assert target.keys() >= ARMS
    assert general.keys() >= ARMS
    _, low, _ = target["transfer"]
    for arm in ("base", "language_model", "ability_model"):
        assert low > target[arm][2], arm
    assert general["transfer"][0] >= general["language_model"][0] - 0.05
    assert target["ceiling"][0] > 0.95


@pytest.mark.slow
def test_what_addition_of_whole_vectors_does_better_is_said(demo: tuple[Path, dict]) -> None:
    out, result = demo
    supported, undecided = result["statements"]
    table = Comparison.load(out / "comparison")
    test = table.test("task_arithmetic", "target")
    assert "plain addition" in (supported if test.p_holm < 0.05 else undecided)


@pytest.mark.slow
def test_the_study_holds_every_finding(demo: tuple[Path, dict]) -> None:
    out, _ = demo
    study = Study.open(out)
    kinds = {entry.kind for entry in study.entries()}
    assert kinds == {"store", "mask", "ability", "model", "comparison"}
    for entry in study.entries():
        assert entry.path.is_dir(), entry.id


def test_a_directory_that_is_no_study_is_never_overwritten(tmp_path: Path) -> None:
    from interp.cli.demo_job import run_demo

    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(BadInput, match="not something interp made"):
        run_demo(tmp_path, seed=0, overwrite=True)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_place_that_cannot_hold_a_study_is_refused(tmp_path: Path) -> None:
    from interp.cli.demo_job import run_demo

    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="not something interp made"):
        run_demo(tmp_path / "file", seed=0, overwrite=True)
    with pytest.raises(BadInput, match="cannot be written"):
        run_demo(Path("/proc/study"), seed=0, overwrite=False)
    assert (tmp_path / "file").read_text() == "mine"
