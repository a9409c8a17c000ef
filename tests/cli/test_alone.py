"""Commands that one process does: several started together are refused before any work."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.results.errors import Unsupported

COMMANDS = (
    "heads ablate model --relations facts.jsonl",
    "heads emergence series --relations facts.jsonl",
    "heads icl model --text lines.jsonl",
    "heads score model --text lines.jsonl",
    "modules experts scores partition",
    "modules partition functions --site blocks.0.mlp.hook_post --n-experts 12",
    "modules perturb functions scores partition --items items.jsonl",
    "modules routing functions partition --items items.jsonl",
    "modules emergence functions --text lines.jsonl --label function --n-experts 12",
    "probe fit store --site blocks.0.mlp.hook_post --label function",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_processes_that_would_repeat_each_other_are_refused(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = CliRunner().invoke(app, [*command.split(), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, Unsupported)
    assert "runs in one process: start it without" in str(result.exception)
    assert not (tmp_path / "out").exists()
