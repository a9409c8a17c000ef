"""`interp neurons score`: what it prints and writes, as a table and as JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interp.capture.store import ActivationStore
from interp.cli.app import app
from interp.dictionaries.files import save_dictionary
from interp.neurons.scores import NeuronScores
from interp.neurons.specialization import Specialization
from interp.results.errors import BadInput, InterpError
from tests.dictionaries.views import planted as with_dictionary
from tests.neurons.stores import ANTI, DETECTOR, SITE, planted_store


def invoke(*arguments: object) -> str:
    words = ["neurons", "score", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("score")
    planted_store(path / "store")
    planted_store(path / "drawn", model_hash="ee" * 32, settings={"random_weights": 7})
    return path


def test_the_table_shows_chance_beside_the_best_and_names_the_unit(place):
    said = invoke(
        place / "store", "--site", SITE, "--label", "answer", "--permutations", 20,
        "--baseline", place / "drawn", "--out", place / "one",
    )  # fmt: skip
    heading, line, *_ = said.splitlines()
    assert heading.split("  ")[0] == "site"
    assert [*filter(None, (cell.strip() for cell in heading.split("  ")))][3:6] == [
        "best AP",
        "by chance",
        "random weights 7",
    ]
    assert line.split()[:4] == [SITE, "answer", "120", "1.000"]
    assert f" {DETECTOR} " in line
    assert "no p is below 0.048" in said
    assert "no model that learnt nothing" not in said
    assert NeuronScores.load(place / "one").score[0, DETECTOR] == 1.0
    with pytest.raises(BadInput, match="exists"):
        invoke(place / "store", "--site", SITE, "--label", "answer", "--out", place / "one")


@pytest.mark.parametrize(
    ("measure", "heading", "meaning"),
    [
        ("skill", "best accuracy", "half of the documents that set no threshold"),
        ("information", "best bits", "bits between"),
        ("selectivity", "best d'", "standard deviations"),
    ],
)
def test_every_measure_heads_its_column_and_finds_the_planted_unit(
    place, tmp_path, measure, heading, meaning
):
    said = invoke(
        place / "store", "--site", SITE, "--label", "answer", "--permutations", 20,
        "--measure", measure, "--out", tmp_path / "scores",
    )  # fmt: skip
    first, line, *notes = said.splitlines()
    assert f"  {heading}  by chance  " in first
    assert meaning in notes[0]
    assert int(line.split()[7]) in (DETECTOR, ANTI)
    found = NeuronScores.load(tmp_path / "scores")
    assert f"--measure {measure}" in found.provenance.command


def test_the_table_of_tokens_says_what_changed_places(place, tmp_path):
    for label, said in (
        ("answer", "whole documents exchange"),
        ("kind", "labels move along the text"),
    ):
        table = invoke(
            place / "store", "--site", SITE, "--label", label, "--pool", "token",
            "--permutations", 5, "--out", tmp_path / label,
        )  # fmt: skip
        assert f"by chance: {said}" in table
    both = json.loads(
        invoke(
            place / "store", "--site", SITE, "--label", "answer", "--label", "kind", "--pool",
            "token", "--permutations", 5, "--out", tmp_path / "both", "--json",
        )
    )["sites"][SITE]["functions"]  # fmt: skip
    assert [f["exchanged"] for f in both] == ["documents", *["rotations"] * 3]


def test_several_sites_make_one_finding_that_knows_their_curve(place):
    said = json.loads(
        invoke(
            place / "store", "--site", "blocks.*.mlp.hook_post", "--label", "answer",
            "--label", "language", "--permutations", 5, "--out", place / "two", "--json",
        )
    )  # fmt: skip
    assert list(said["sites"]) == [SITE, "blocks.1.mlp.hook_post"]
    found = Specialization.load(place / "two")
    curve = found.curve("language")
    assert curve.n_sub_functions == 3 and (curve.best > curve.null_mean).any()
    assert found.site("blocks.1.mlp.hook_post").n_units == 150
    assert [f["name"] for f in said["sites"][SITE]["functions"]] == [
        *("answer", "language=de", "language=en", "language=zh")
    ]
    for f in said["sites"][SITE]["functions"]:
        assert {"best", "null_best_mean", "p", "q", "n_positive", "n_negative"} <= set(f)


def test_a_dictionary_is_scored_feature_by_feature(tmp_path):
    with_dictionary.planted_store(tmp_path / "store", n=6000)
    save_dictionary(with_dictionary.planted_dictionary(), tmp_path / "sae")
    said = json.loads(
        invoke(
            tmp_path / "store", "--site", with_dictionary.SITE, "--label", "language",
            "--dictionary", tmp_path / "sae", "--permutations", 5, "--out", tmp_path / "s",
            "--json",
        )
    )  # fmt: skip
    site = said["sites"][with_dictionary.SITE]
    assert site["n_units"] == with_dictionary.D_SAE
    assert site["functions"][2]["name"] == "language=2"
    found = NeuronScores.load(tmp_path / "s")
    # Token 5 stands in documents of language 2 alone.
    assert found.ap_positive[2].argmax() == with_dictionary.LANGUAGE_TOKEN
    assert found.units == "features"


def test_what_does_not_fit_is_said_in_one_line(place):
    for more, said in (
        (["--site", "blocks.9.*"], "has no site 'blocks.9."),
        (["--site", SITE, "--heads"], "holds no heads"),
        (["--site", "blocks.*", "--dictionary", "x"], "reads one site, and 2 match"),
    ):
        with pytest.raises(InterpError, match=said):
            invoke(place / "store", *more, "--label", "answer", "--out", place / "wrong")
    assert not (place / "wrong").exists()


def test_from_labelled_lines_to_scores_beside_untrained_weights(model_directory, tmp_path):
    model = model_directory("llama")
    lines = [
        {
            "text": f"w{5 + i % 20} w30 w{6 + i % 3}",
            "topic": "sport" if i % 2 else "law",
            "pos": ["N", "V", None],
        }
        for i in range(60)
    ]
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    capture = [
        *("capture", model, file, "--sites", "blocks.*.mlp.hook_post", "--max-tokens", 1000),
        *("--packing", "document", "--length", 8, "--label", "topic", "--label", "pos"),
    ]
    for more in (["--out", "store"], ["--out", "drawn", "--random-weights", 3]):
        words = [*map(str, capture), more[0], str(tmp_path / str(more[1])), *map(str, more[2:])]
        for _ in range(2):
            # The second time the store is there already, and is found to be the same.
            result = CliRunner().invoke(app, words, catch_exceptions=False)
            assert result.exit_code == 0, result.stderr
    store, drawn = (ActivationStore.open(tmp_path / name) for name in ("store", "drawn"))
    assert store.label_values("topic") == ("law", "sport")
    assert store.column("pos", 0, 8).tolist()[:4] == [0, 1, -1, 0]
    assert drawn.provenance.settings["random_weights"] == 3
    assert drawn.provenance.corpus_hash == store.provenance.corpus_hash
    assert drawn.provenance.model_hash != store.provenance.model_hash
    found = json.loads(
        invoke(
            tmp_path / "store", "--site", "blocks.1.*", "--label", "topic", "--permutations", 5,
            "--baseline", tmp_path / "drawn", "--out", tmp_path / "scores", "--json",
        )
    )["sites"]["blocks.1.mlp.hook_post"]["functions"][0]  # fmt: skip
    assert found["name"] == "topic=sport" and found["n_positive"] == 30
    assert list(found["baseline_best"]) == ["random weights 3"]
    by_token = json.loads(
        invoke(
            tmp_path / "store", "--site", "blocks.1.*", "--label", "pos", "--pool", "token",
            "--permutations", 5, "--out", tmp_path / "tokens", "--json",
        )
    )["sites"]["blocks.1.mlp.hook_post"]["functions"][0]  # fmt: skip
    # The middle word is always the same, which some neuron tells from the first.
    assert by_token["name"] == "pos=V" and by_token["best"] > 0.9
