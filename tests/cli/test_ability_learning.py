"""`interp ability locate`, `train` and `verify`, from files to files."""

import json
import shlex
from math import log
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from interp.abilities.masks.mask import NeuronMask
from interp.abilities.moving.extract import extract
from interp.cli.ability.options import p_text
from interp.cli.app import app
from interp.evaluation.comparison import Comparison
from interp.results.errors import BadInput, InterpError
from tests.abilities.learning import small_llama, write_examples, write_items

SHORT = ["--steps", "80", "--warmup", "20", "--batch-size", "16"]


def run(*arguments: object) -> str:
    """What the command prints on standard output; our errors are raised as they are."""
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def failing(*arguments: object) -> InterpError:
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)])
    assert isinstance(result.exception, InterpError), result.output
    return result.exception


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, training data, items, and a located mask."""
    place = tmp_path_factory.mktemp("cli")
    small_llama(place / "base")
    write_examples(place / "ability.jsonl")
    write_items(place / "items.jsonl")
    run("locate", place / "base", place / "ability.jsonl", "--share", "0.2", "--out",
        place / "located", *SHORT)  # fmt: skip
    return place


def test_locate_writes_a_mask_and_says_where_its_entries_lie(place: Path, tmp_path: Path) -> None:
    said = run(
        "locate", place / "base", place / "ability.jsonl", "--out", tmp_path / "mask", *SHORT
    )
    assert "mlp.down_proj" in said
    assert "two halves of the examples: rank correlation" in said
    assert NeuronMask.load(tmp_path / "mask").recipe["share"] == 0.05


def test_a_p_below_the_smallest_float_is_not_said_to_be_0() -> None:
    assert p_text(log(0.25)) == "0.25"
    assert p_text(-1e5) == "1e-43429"


def test_json_is_one_object_on_one_line(place: Path, tmp_path: Path) -> None:
    said = run("locate", place / "base", place / "ability.jsonl", "--locator", "magnitude",
               "--out", tmp_path / "mask", "--json", *SHORT)  # fmt: skip
    result = json.loads(said)
    assert said.count("\n") == 1
    assert result["count"] == sum(result["by_tensor"].values())


def test_the_same_command_writes_the_same_bytes(place: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    run("locate", place / "base", place / "ability.jsonl", "--share", "0.2", "--out", again, *SHORT)
    for file in (place / "located").iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_a_random_mask_like_another_keeps_its_counts(place: Path, tmp_path: Path) -> None:
    run("locate", place / "base", "--locator", "random", "--like", place / "located", "--out",
        tmp_path / "random", "--seed", "3")  # fmt: skip
    drawn, located = NeuronMask.load(tmp_path / "random"), NeuronMask.load(place / "located")
    assert drawn.counts_by_tensor() == located.counts_by_tensor()


def test_a_short_training_done_elsewhere_is_located_in(place: Path, tmp_path: Path) -> None:
    trained = tmp_path / "trained"
    run("train", place / "base", place / "ability.jsonl", "--out", trained, *SHORT)
    run("locate", place / "base", "--trained", trained, "--share", "0.2", "--out", tmp_path / "m")
    assert NeuronMask.load(tmp_path / "m").count == NeuronMask.load(place / "located").count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_command_that_train_names_next_takes_the_weights_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    monkeypatch.chdir(tmp_path)
    small_llama(tmp_path / "my base", dtype=dtype)
    data = write_examples(tmp_path / "ability.jsonl")
    said = run("train", "my base", data, "--out", "trained", "--steps", "3", "--warmup", "0")
    program, group, *command = shlex.split(said.splitlines()[-1].removeprefix("next: "))
    assert (program, group) == ("interp", "ability")
    assert ("--cast" in command) is (dtype == torch.float16)
    run(*command)
    assert (tmp_path / "weights" / "header.json").is_file()


def test_train_locate_and_verify_make_a_table(place: Path, tmp_path: Path) -> None:
    masked, full, language = (tmp_path / name for name in ("masked", "full", "language"))
    data = place / "ability.jsonl"
    said = run("train", place / "base", data, "--mask", place / "located", "--out", masked,
               "--json", *SHORT)  # fmt: skip
    assert json.loads(said)["trained_entries"] == NeuronMask.load(place / "located").count
    run("train", place / "base", data, "--out", full, *SHORT)
    run("train", place / "base", data, "--out", language, "--seed", "5", *SHORT)
    extract(place / "base", masked, tmp_path / "weights", mask=place / "located")
    arguments = [
        *("verify", place / "base", "--items", place / "items.jsonl"),
        *("--weights", tmp_path / "weights", "--ability", full, "--language", language),
        *("--targets", "D,E", "--gammas", "0.5,1", "--etas", "1", "--train-random", data, *SHORT),
    ]
    said = run(*arguments, "--out", tmp_path / "table")
    assert "transfer of the located" in said
    assert "Not supported" in said
    table = Comparison.load(tmp_path / "table")
    assert [row.key for row in table.rows][3:] == ["transfer", "random_neurons", "task_arithmetic"]
    result = json.loads(run(*arguments, "--out", tmp_path / "new" / "again", "--json"))
    assert result["target"]["base"] == list(table.cell("base", "target"))


def test_the_command_that_verify_prints_writes_the_model_that_it_tested(
    place: Path, tmp_path: Path
) -> None:
    data = place / "ability.jsonl"
    run("train", place / "base", data, "--out", tmp_path / "full", *SHORT)
    run("train", place / "base", data, "--out", tmp_path / "other", "--seed", "1", *SHORT)
    extract(place / "base", tmp_path / "full", tmp_path / "weights", mask=place / "located")
    arguments = [
        *("ability", "verify", place / "base", "--items", place / "items.jsonl"),
        *("--weights", tmp_path / "weights", "--ability", tmp_path / "full"),
        *("--language", tmp_path / "other", "--targets", "D,E"),
        *("--gammas", "0.5", "--etas", "0.7", "--k2", "0.6"),
    ]
    verified = CliRunner().invoke(app, [str(a) for a in (*arguments, "--out", tmp_path / "table")])
    command = shlex.split(verified.stderr.split("was tested: ")[1])
    assert command[:3] == ["interp", "ability", "transfer"]
    run(*command[2:])
    written = ["--transferred", tmp_path / "table-model", "--out", tmp_path / "again"]
    run(*map(str, arguments[1:]), *written)
    tables = [Comparison.load(tmp_path / name) for name in ("table", "again")]
    assert tables[0].rows == tables[1].rows
    assert tables[0].correct.tolist() == tables[1].correct.tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lr", "nan"], "lr is nan"),
        (["--lr", "inf"], "lr is inf"),
        (["--weight-decay", "nan"], "weight decay is nan"),
        (["--steps", "5"], "--warmup 0"),
        (["--steps", "20"], "--warmup 2"),
    ],
)
def test_a_training_that_cannot_be_is_refused_with_what_to_give(
    place: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    out = tmp_path / "model"
    error = failing("train", place / "base", place / "ability.jsonl", "--out", out, *options)
    assert isinstance(error, BadInput)
    assert said in str(error)


def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    for out in ("/proc/mask", tmp_path / "file" / "mask"):
        error = failing("locate", place / "base", place / "absent.jsonl", "--out", out)
        assert isinstance(error, BadInput)
        assert "cannot be written" in str(error)


def test_what_is_there_is_not_overwritten_unasked(place: Path) -> None:
    error = failing("locate", place / "base", place / "absent.jsonl", "--out", place / "located")
    assert isinstance(error, BadInput)
    assert "--overwrite" in str(error)


def test_a_directory_of_others_is_refused_before_any_work(place: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "precious" / "sub" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    for command in ("locate", "train"):
        error = failing(
            command, place / "base", place / "absent.jsonl", "--out", tmp_path / "precious",
            "--overwrite",
        )  # fmt: skip
        assert isinstance(error, BadInput)
        assert "not something interp made" in str(error)
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--locator", "change"], "nothing to locate by"),
        (["--like", "mask"], "give --locator random"),
        (["--locator", "grad", "--trained", "dir"], "not by grad"),
    ],
)
def test_options_that_contradict_are_refused(
    place: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    assert said in str(failing("locate", place / "base", "--out", tmp_path / "m", *arguments))


@pytest.mark.parametrize("command", ["locate", "train", "verify"])
def test_help_has_an_example_and_a_description_of_every_option(command: str) -> None:
    said = run(command, "--help")
    assert f"interp ability {command} polyglot" in " ".join(said.split())
