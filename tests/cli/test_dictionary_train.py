import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interp.cli import app
from tests.dictionaries.training.planted import READ, WRITTEN, planted_store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; returns exit code, standard output and standard error."""

    def program(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["interp", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
            raise SystemExit(0)
        code = ended.value.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return program


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return planted_store(tmp_path / "store").path


def command(store: Path, out: Path, *more: object) -> list[object]:
    numbers = ["--tokens", 2000, "--batch-size", 100, "--log-every", 10]
    return ["dictionary", "train", store, "--out", out, *numbers, *more]


def test_a_sweep_leaves_a_directory_for_every_dictionary(
    run: Run, store: Path, tmp_path: Path
) -> None:
    sweep = ["--site", READ, "--d-sae", "16,24", "--k", "1", "--k", "2", "--json"]
    code, out, err = run(*command(store, tmp_path / "d", *sweep))
    assert code == 0, err
    found = json.loads(out)["dictionaries"]
    assert len(found) == 4 and all(Path(d["path"]).is_dir() for d in found)
    assert found[-1]["n_tokens"] == 2000 and found[-1]["l0"] == pytest.approx(2, abs=0.05)
    code, again, _ = run(*command(store, tmp_path / "d", *sweep))
    assert (code, again) == (0, out)


def test_options_reach_sae_lens(run: Run, store: Path, tmp_path: Path) -> None:
    kind = ["--arch", "standard", "--option", "l1_coefficient=0.5", "--option", "lp_norm=1"]
    code, out, err = run(*command(store, tmp_path / "d", "--site", READ, "--d-sae", 16, *kind))
    assert code == 0, err
    assert "explained variance" in out and "interp dictionary evaluate" in out
    recipe = json.loads((tmp_path / "d" / "recipe.json").read_text())
    assert recipe["options"]["l1_coefficient"] == 0.5


def test_the_command_it_names_next_evaluates_the_dictionary(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = planted_store(Path("my store")).path
    code, out, err = run(*command(store, Path("d"), "--site", READ, "--d-sae", 16, "--k", 2))
    assert code == 0, err
    _, _, named = out.splitlines()[-1].partition("next: interp ")
    code, _, err = run(*shlex.split(named))
    assert code == 0, err
    assert Path("d/evaluation").is_dir()


def test_a_run_too_short_for_its_threshold_is_told_of_at_both_ends(
    run: Run, store: Path, tmp_path: Path
) -> None:
    asked = ["--site", READ, "--d-sae", 16, "--k", 2]
    code, out, err = run(*command(store, tmp_path / "d", *asked))
    assert code == 0
    note = "note: the saved threshold starts at 0 and goes 18% of its way in 20 steps"
    assert note in out and note in err
    assert re.search(r"l0 2\.0 \(\d+\.\d as saved\)", out)
    code, out, err = run(
        *command(store, tmp_path / "e", *asked, "--option", "topk_threshold_lr=0.2")
    )
    assert code == 0
    assert "note:" not in out + err


def test_a_transcoder_from_the_command_line(run: Run, store: Path, tmp_path: Path) -> None:
    kind = ["--arch", "skip_transcoder", "--site", READ, "--site-out", WRITTEN, "--k", 2]
    code, _, err = run(*command(store, tmp_path / "t", "--d-sae", 16, *kind))
    assert code == 0, err
    config = json.loads((tmp_path / "t" / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu_skip_transcoder"
    assert config["metadata"]["hook_name_out"] == WRITTEN


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(
    run: Run, store: Path, tmp_path: Path
) -> None:
    asked = ["--site", READ, "--d-sae", "16,24", "--dry-run"]
    code, out, _ = run(*command(store, tmp_path / "d", *asked, "--json"))
    plan = json.loads(out)
    assert code == 0
    assert (plan["n_steps"], plan["rows"], len(plan["dictionaries"])) == (20, 3000, 2)
    code, out, _ = run(*command(store, tmp_path / "d", *asked))
    assert "2 dictionaries, 20 steps of 100 of 3,000 rows" in out
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--site", "nowhere"], "there is no site 'nowhere'"),
        (["--site", READ, "--arch", "transcoder"], "--site-out"),
        (["--site", READ, "--k", "many"], "--k 'many' is no number"),
        (["--site", READ, "--option", "k"], "write NAME=VALUE"),
        (["--site", READ, "--option", "kk=3"], "no option of batchtopk is called 'kk'"),
        (["--site", READ, "--option", "k=abc"], "option k is 'abc': expected a finite number"),
        (
            ["--site", READ, "--option", "apply_b_dec_to_input=maybe"],
            "option apply_b_dec_to_input is 'maybe': expected true or false",
        ),
        (
            ["--site", READ, "--arch", "standard", "--option", "l1_coefficient=abc"],
            "option l1_coefficient is 'abc'",
        ),
        (["--site", READ, "--model", "polyglot"], "give the rows once"),
        (["--site", READ, "--log-to", "paper"], "no log-to 'paper'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    run: Run, store: Path, tmp_path: Path, more: list[object], message: str
) -> None:
    code, _, err = run(*command(store, tmp_path / "d", "--d-sae", 16, *more))
    assert code == 2
    assert message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
