import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interp.cli import app

Models = Callable[[str], Path]
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
def text(tmp_path: Path) -> Path:
    file = tmp_path / "text.txt"
    file.write_text("\n\n".join(f"w{4 + i} w5 w6 w7 w{9 + i}" for i in range(40)))
    return file


def arguments(model: Path, text: Path, out: Path) -> list[object]:
    sites = ["--sites", "blocks.*.hook_resid_post", "--length", 8, "--batch-size", 2]
    return ["capture", model, text, *sites, "--max-tokens", 100, "--out", out]


def test_capture_info_and_verify_tell_of_the_same_store(
    run: Run, model_directory: Models, text: Path, tmp_path: Path
) -> None:
    command = arguments(model_directory("llama"), text, tmp_path / "s")
    code, out, err = run(*command, "--json")
    assert code == 0, err
    made = json.loads(out)
    assert (made["rows"], made["asked"], made["missing"], made["complete"]) == (100, 100, 0, True)
    assert abs(made["expected_bytes"] - made["bytes"]) <= 0.05 * made["bytes"]
    assert "3 sites, 100 rows" in err
    told = json.loads(run("store", "info", tmp_path / "s", "--json")[1])
    assert told == {name: value for name, value in made.items() if name != "expected_bytes"}
    assert run("store", "info", tmp_path / "s")[1].count("blocks.") == 3
    assert json.loads(run("store", "verify", tmp_path / "s", "--json")[1])["problems"] == {}
    assert run(*command)[0] == 0


def test_a_damaged_store_exits_2_naming_the_shard(
    run: Run, model_directory: Models, text: Path, tmp_path: Path
) -> None:
    run(*arguments(model_directory("llama"), text, tmp_path / "s"))
    shard = tmp_path / "s" / "shard-00000.h5"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, _, err = run("store", "verify", tmp_path / "s")
    assert code == 2
    assert err.startswith("interp: ") and "shard-00000.h5 was altered" in err
    assert err.count("\n") == 1


def test_a_dry_run_says_sizes_and_writes_nothing(
    run: Run, model_directory: Models, text: Path, tmp_path: Path
) -> None:
    command = arguments(model_directory("llama"), text, tmp_path / "s")
    code, out, _ = run(*command, "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["rows"], len(plan["sites"])) == (100, 3)
    assert not (tmp_path / "s").exists()
    assert run(*command, "--dry-run")[1].count("blocks.") == 3


def test_another_runs_store_and_unknown_sites_exit_2_in_one_line(
    run: Run, model_directory: Models, text: Path, tmp_path: Path
) -> None:
    command = arguments(model_directory("llama"), text, tmp_path / "s")
    run(*command)
    code, _, err = run(*command, "--dtype", "float16")
    assert code == 2
    assert "dtype is 'float32' there and 'float16' here" in err.splitlines()[-1]
    wrong = arguments(model_directory("llama"), text, tmp_path / "t")
    wrong[wrong.index("blocks.*.hook_resid_post")] = "blocks.0.hook_residpost"
    code, _, err = run(*wrong)
    assert code == 2
    assert "blocks.0.hook_resid_post" in err.splitlines()[-1]
