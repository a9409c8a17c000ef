"""`interp dictionary views`, `search` and `show`: what they print, as text and as JSON."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.dictionaries.files import save_dictionary
from interp.dictionaries.views.feature_views import FeatureViews
from interp.results.errors import BadInput, Incomplete
from tests.dictionaries.views.planted import NEURONS, planted_dictionary, planted_store


def invoke(*arguments):
    words = ["dictionary", *map(str, arguments)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("views")
    planted_store(path / "store", n=1500)
    save_dictionary(planted_dictionary(), path / "sae")
    said = invoke(
        "views", path / "sae", "--store", path / "store", "--neurons", NEURONS,
        "--out", path / "views",
    )  # fmt: skip
    assert "24 features of blocks.0.hook_resid_post over 1,500 rows" in said
    even, language = (next(x for x in said.splitlines() if n in x) for n in ("even:", "language:"))
    assert "rows count as independent" in even and "independent" not in language
    assert "weight was left out" in said and "no logits: pass --model" in said
    return path


def test_views_are_never_half_written_nor_overwritten_unasked(place):
    words = ["views", place / "sae", "--store", place / "store", "--out", place / "views"]
    with pytest.raises(BadInput, match="exists"):
        invoke(*words)
    again = json.loads(invoke(*words, "--overwrite", "--labels", "even", "--json"))
    assert again["n_silent"] == 1 and list(again["labels"]) == ["even"]
    assert again["coactivation_rows"] == again["n_rows"] == 1500
    with pytest.raises(BadInput, match="no label"):
        invoke(*words[:-1], place / "other", "--labels", "absent")
    assert not (place / "other").exists()


def test_search_prints_a_table_or_json(place):
    shown = invoke("search", place / "views", "--token", " w3")
    assert "lift" in shown and "by chance" in shown
    found = json.loads(invoke("search", place / "views", "--token", " w3", "--json"))
    assert [hit["feature"] for hit in found["hits"]] == [3]
    alike = json.loads(
        invoke("search", place / "views", "--like", f"{place / 'sae'}:5", "--limit", 1, "--json")
    )
    assert alike["hits"][0]["feature"] == 5 and alike["hits"][0]["q_value"] is None
    for option, text, said in (
        ("--label", "even", "COLUMN=VALUE"),
        ("--like", "5", "no dictionary"),
    ):
        with pytest.raises(BadInput, match=said):
            invoke("search", place / "views", option, text)


def test_show_prints_one_feature_with_its_checked_description(place):
    shown = invoke("show", place / "views", 3)
    assert "fires on ' w3'" in shown and "held out: foretells 1.000" in shown
    assert "« w3»" in shown and "\u202e" not in shown
    content = json.loads(invoke("show", place / "views", 3, "--json"))
    assert content["feature"] == 3 and content["descriptions"][0]["describer"] == "rule"
    assert content["neuron_null"] is None or content["neuron_null"] > 0


def test_words_stand_apart_where_the_vocabulary_has_no_mark_of_a_space(place, tmp_path):
    found = FeatureViews.load(place / "views")
    assert found.vocabulary is not None
    bare = tuple(word.strip() for word in found.vocabulary)
    replace(found, vocabulary=bare).save(tmp_path / "bare")
    shown = invoke("show", tmp_path / "bare", 3)
    assert " «w3» " in shown and "« w3» w" in invoke("show", place / "views", 3)


def test_an_id_within_a_release_goes_to_the_dictionary_that_is_liked(place):
    with pytest.raises(BadInput, match="no id 'layer_3'"):
        invoke("search", place / "views", "--like", f"{place / 'sae'}:5", "--sae-id", "layer_3")


def test_an_endpoint_needs_the_name_of_a_model_and_no_key(place):
    words = ["show", place / "views", 3, "--endpoint", "http://127.0.0.1:9/v1"]
    with pytest.raises(BadInput, match="--endpoint-model"):
        invoke(*words)
    with pytest.raises(Incomplete, match="cannot be reached"):
        invoke(*words, "--endpoint-model", "m")
