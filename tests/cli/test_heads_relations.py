import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from interp.cli.app import app
from interp.corpus.relations import open_relations
from interp.heads.ablation.choosing import OTHER_HALF, unseen
from interp.heads.scores import HeadScores
from interp.models.load import load
from interp.results.errors import BadInput
from tests.models import tiny_model_directory

WORDS = [f"w{i}" for i in range(4, 40)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("relations")
    tiny_model_directory("gpt2", directory / "model", n_layer=1)
    rng = np.random.default_rng(0)
    with (directory / "facts.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(14):
            words = rng.choice(WORDS, 12, replace=False)
            ends = np.cumsum([len(word) + 1 for word in words])
            spans = [[int(e) - len(w) - 1, int(e) - 1] for e, w in zip(ends, words, strict=True)]
            entities = [{"id": str(i), "type": "ab"[i % 2], "spans": [spans[i]]} for i in range(8)]
            relations = [["1", "likes", "0"], ["3", "likes", "2"], ["5", "knows", "4"]]
            line = {"text": " ".join(words), "entities": entities, "relations": relations}
            file.write(json.dumps(line) + "\n")
    return directory


def test_heads_relations_shows_score_null_rate_and_coverage(here: Path) -> None:
    command = [
        "heads",
        "relations",
        str(here / "model"),
        str(here / "facts.jsonl"),
        "--draws",
        "99",
    ]
    out = here / "found"
    shown = CliRunner().invoke(
        app, [*command, "--preset", "relation", "--preset", "ren2024_dev", "--out", str(out)]
    )
    assert shown.exit_code == 0, shown.output
    for part in ("by chance", "p adj", "rate", "strength", "copying", "coverage", "tail first"):
        assert part in shown.output
    found = HeadScores.load(out)
    assert found.names == (
        *("relation.knows", "relation.likes"),
        *("ren2024_dev.knows", "ren2024_dev.likes"),
    )
    assert found.provenance.corpus_hash is not None
    half = CliRunner().invoke(
        app, [*command, "--half", "first", "--reverse", "--json", "--out", str(here / "half")]
    )
    assert half.exit_code == 0, half.output
    columns = json.loads(half.stdout.splitlines()[-1])["columns"]
    assert [c["relation"] for c in columns] == ["knows (reversed)", "likes (reversed)"]
    assert columns[1]["notes"]["n_triplets"] == 7


def test_a_preset_that_is_not_there_is_refused_by_name(here: Path) -> None:
    refused = CliRunner().invoke(
        app,
        ["heads", "relations", str(here / "model"), str(here / "facts.jsonl"),
         "--preset", "ren2025", "--out", str(here / "none")],
    )  # fmt: skip
    assert isinstance(refused.exception, BadInput)
    assert "no preset 'ren2025': one of relation" in str(refused.exception)
    assert not (here / "none").exists()


def test_heads_scored_on_one_half_are_ablated_on_the_other_alone(here: Path) -> None:
    """Joined with a detector of random tokens, a relation's column still knows its documents."""
    facts = str(here / "facts.jsonl")
    score = ["heads", "score", str(here / "model"), "--relations", facts, "--draws", "19",
             "--sequences", "4", "--detector", "relation",
             "--detector", "prefix_matching"]  # fmt: skip
    for half in ("first", None):
        out = str(here / f"scored-{half}")
        given = [] if half is None else ["--half", half]
        shown = CliRunner().invoke(app, [*score, *given, "--out", out])
        assert shown.exit_code == 0, shown.output
    first, second = open_relations(here / "facts.jsonl", load(here / "model")).halves(0)
    column = HeadScores.load(here / "scored-first").columns[0]
    assert column.corpus_hash == first.hash
    ablate = ["heads", "ablate", str(here / "model"), "--relations", facts, "--alpha", "1",
              "--mode", "mean", "--where", "event", "--draws", "1", "--exact", "1"]  # fmt: skip
    refused = CliRunner().invoke(
        app, [*ablate, str(here / "scored-None"), "--out", str(here / "no")]
    )
    assert "made on 14 of these 14 documents" in str(refused.exception)
    made = HeadScores.load(here / "scored-first")
    part, said = unseen(made, open_relations(here / "facts.jsonl", load(here / "model")),
                        detector="relation", seed=0, same_documents=False)  # fmt: skip
    assert (part.hash, said) == (second.hash, OTHER_HALF)


def test_half_without_relations_is_refused(here: Path) -> None:
    refused = CliRunner().invoke(
        app, ["heads", "score", "m", "--text", "t", "--half", "first", "--out", str(here / "h")]
    )
    assert "--half is of the documents of --relations" in str(refused.exception)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--batch-size", "0"], "--batch-size 0: give at least 1"),
        (["--draws", "0"], "--draws 0"),
        (["--top", "0"], "--top 0"),
        (["--seed", "-1"], "--seed -1"),
        (["--min-coverage", "2"], "--min-coverage 2.0: give a number from 0 to 1"),
        (["--preset", "ren2024", "--preset", "ren2024"], "--preset ren2024 is given twice"),
    ],
)
def test_what_has_no_meaning_is_refused_at_the_door(wrong, said, tmp_path) -> None:
    words = ["heads", "relations", "relations/grammar", "none.jsonl", "--out", str(tmp_path / "no")]
    with pytest.raises(BadInput, match=said):
        CliRunner().invoke(app, [*words, *wrong], catch_exceptions=False)
