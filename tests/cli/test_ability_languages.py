"""`interp ability languages`, and locators of units: what they print, write and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.abilities.locating.language_finding import LanguageFinding
from interp.abilities.masks.mask import NeuronMask
from interp.cli.app import app
from tests.abilities.learning import small_llama, write_examples


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("languages")
    small_llama(place / "base")
    write_examples(place / "ability.jsonl", n=40)
    for name, first in (("low", 4), ("high", 18)):
        rng = np.random.default_rng(first)
        lines = [" ".join(f"w{first + w}" for w in rng.integers(14, size=6)) for _ in range(30)]
        (place / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (place / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": line}) + "\n" for line in lines)
        )
    return place


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["ability", *map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_languages_write_a_finding_and_a_mask_each_and_print_the_null(place: Path) -> None:
    asked = ["languages", place / "base", "--share", "0.1", "--draws", "9", "--random-draws", "2"]
    texts = ["--text", f"low={place / 'low.txt'}", "--text", f"high={place / 'high.jsonl'}"]
    text = invoke(*asked, *texts, "--out", place / "found")
    assert "of 48 neurons" in text and "in 9 draws" in text and "bits a character" in text
    finding = LanguageFinding.load(place / "found")
    assert finding.languages == ("low", "high")
    for row, name in enumerate(finding.languages):
        mask = NeuronMask.load(place / "found" / "masks" / name)
        assert mask.units is not None
        assert np.array_equal(mask.units.chosen, finding.member[row])
    as_json = json.loads(invoke(*asked, *texts, "--out", place / "found", "--overwrite", "--json"))
    assert as_json["n_chosen"] == int(finding.chosen.sum())
    assert as_json["n_tokens"] == [6 * 25, 6 * 25]


def test_locating_by_lape_takes_the_texts_of_languages(place: Path) -> None:
    texts = [f"--text={name}={place / name}.jsonl" for name in ("low", "high")]
    text = invoke(
        *["locate", place / "base", "--locator", "lape", "--level", "neuron", "--share", "0.1"],
        *[*texts, "--out", place / "lape"],
    )
    assert "of 48 neurons" in text


def test_learnt_heads_say_what_they_keep_beside_random_heads(place: Path) -> None:
    text = invoke(
        *["locate", place / "base", place / "ability.jsonl", "--locator", "learnt_heads"],
        *["--level", "head", "--share", "0.5", "--steps", "5", "--warmup", "1"],
        *["--no-split-halves", "--out", place / "heads"],
    )
    assert "4 of 8 heads" in text and "0.500 asked" in text and "random units" in text


def test_one_language_is_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    arguments = ["languages", place / "base", "--text", f"low={place / 'low.txt'}"]
    result = CliRunner().invoke(
        app, ["ability", *map(str, [*arguments, "--out", tmp_path / "out"])]
    )
    assert "give the text of two or more" in str(result.exception)
    assert not (tmp_path / "out").exists()
