"""`interp ability locate`: nulls without data, fewer examples, refusals before any work."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.abilities.masks.mask import NeuronMask
from interp.cli.app import app
from interp.results.errors import InterpError
from tests.abilities.learning import small_llama, write_examples


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    small_llama(place / "base")
    write_examples(place / "ability.jsonl", n=12)
    return place


def run(*arguments: object) -> str:
    command = ["ability", "locate", *map(str, arguments)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("locator", ["random", "magnitude"])
@pytest.mark.parametrize("level", ["entry", "neuron"])
def test_a_null_needs_no_examples(locator: str, level: str, place: Path, tmp_path: Path) -> None:
    asked = ["--locator", locator, "--share", 0.25, "--level", level]
    said = run(place / "base", *asked, "--out", tmp_path / "mask")
    mask = NeuronMask.load(tmp_path / "mask")
    ranked = sum(support.n_entries for support in mask.tensors.values())
    assert mask.count == ranked // 4
    assert f"{mask.count:,} of {ranked:,} ranked entries" in said


def test_a_sample_of_the_examples_is_drawn_by_the_seed(place: Path, tmp_path: Path) -> None:
    asked = [place / "base", place / "ability.jsonl", "--locator", "grad", "--no-split-halves"]
    recipes = {}
    for name, n, seed in (("all", 12, 0), ("some", 5, 0), ("again", 5, 0), ("others", 5, 1)):
        out = tmp_path / name
        run(*asked, "--max-examples", n, "--seed", seed, "--out", out)
        recipes[name] = NeuronMask.load(out).recipe
    assert recipes["some"]["max_examples"] == 5
    assert recipes["some"]["examples"] == recipes["again"]["examples"]
    hashes = {recipes[name]["examples"] for name in ("all", "some", "others")}
    assert len(hashes) == 3


REFUSED = {
    "no locator 'lucky': there are activation_difference": ["--locator", "lucky"],
    "level 'expert' is not ranked": ["--level", "expert"],
    "a share of 5.0: expected a number from 0 to 1": ["--share", "5"],
    "nothing to locate by": [],
    "absent.jsonl is not a file": ["absent.jsonl"],
    "--max-examples 0: expected 1 or more": ["absent.jsonl", "--max-examples", "0"],
    "--like draws random entries": ["--like", "mask"],
    "is scored by change, contrast": ["--trained", "model", "--locator", "fisher"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_asked_wrongly_is_refused(message: str, tmp_path: Path) -> None:
    command = ["ability", "locate", "absent", *REFUSED[message], "--out", str(tmp_path / "mask")]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, InterpError), result.output
    assert message in str(result.exception)
    assert not (tmp_path / "mask").exists()


def test_a_refusal_does_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from interp.cli.app import app\n"
        "for more in (['--locator', 'lucky'], ['--share', '5'], ['--level', 'expert'], [],\n"
        "             ['absent.jsonl'], ['--out', 'there']):\n"
        "    command = ['ability', 'locate', 'absent', '--out', 'mask', *more]\n"
        "    assert CliRunner().invoke(app, command).exit_code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
