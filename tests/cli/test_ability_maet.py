"""`interp ability maet`: what its sweep does not try is refused, not left out of the table."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.results.errors import BadInput

TABLE = ["--items", "items.jsonl", "--targets", "D", "--language", "adapted", "--share", "0.2"]


@pytest.mark.parametrize("wanted", ["--sweep", "--ablations"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--alpha", "0.5"), ("--mu", "0.5"), ("--eta-rest", "0"), ("--select", "most")],
)
def test_a_setting_that_the_table_does_not_try_is_refused_by_name(
    tmp_path: Path, wanted: str, option: str, value: str
) -> None:
    files = ["base", "ability.jsonl", "general.jsonl", "--out", str(tmp_path / "out")]
    arguments = ["ability", "maet", *files, *TABLE, wanted, option, value]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, BadInput)
    assert f"do not try {option}" in str(error)
