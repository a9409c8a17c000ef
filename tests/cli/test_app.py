import subprocess
import sys

import pytest
from typer.testing import CliRunner

from interp.cli.app import app

NOUNS = ["model", "capture", "store", "ability", "study", "explore", "demo"]


def _commands() -> list[list[str]]:
    import typer

    found = []
    for noun, command in typer.main.get_command(app).commands.items():  # pyright: ignore[reportAttributeAccessIssue]
        found.append([noun])
        found += [[noun, verb] for verb in getattr(command, "commands", {})]
    return found


def test_every_noun_is_there() -> None:
    assert {command[0] for command in _commands()} >= set(NOUNS)


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    if len(command) == 2 or command[0] in ("capture", "explore", "demo"):
        assert f"interp {' '.join(command)}" in result.output.replace("\n", " ")


@pytest.mark.parametrize("code", ["import interp", "import interp.cli.app"])
@pytest.mark.parametrize("heavy", ["torch", "transformers", "numpy", "streamlit"])
def test_the_command_line_starts_without_heavy_imports(code: str, heavy: str) -> None:
    check = f"import sys; {code}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_an_unknown_study_is_one_line_and_exit_code_two() -> None:
    command = [sys.executable, "-m", "interp.cli.app", "study", "info", "/nonexistent\x1b[2J"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
