"""Data sets of relations as a user makes them."""

import json
import sys
from pathlib import Path

import pytest

from interp.cli import app
from interp.corpus.relations import open_relations
from interp.heads.icl.tasks import open_tasks
from probes.relations.grammar.tasks import icl_tasks


def make(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["interp", "data", "make", *map(str, words)])
    try:
        app.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.mark.parametrize("name", ["grammar", "static", "binding"])
def test_triples_are_written_for_each_model_and_opened_with_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "facts.jsonl"
    data = "relations" if name == "grammar" else f"relations-{name}"
    assert make(monkeypatch, data, "--out", out, "--n", 5) == 0
    card = json.loads((tmp_path / "facts.json").read_text())
    corpus = open_relations(out, f"relations/{name}")
    asked = sum(len(t.at) for s in corpus.sequences for t in s.triplets)
    assert card["lines"] == len(corpus.sequences) == 5
    assert sum(card["counts"].values()) == asked


def test_the_treebank_is_conllu_and_the_tasks_are_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank, tasks = tmp_path / "bank.conllu", tmp_path / "tasks.json"
    assert make(monkeypatch, "relations-treebank", "--out", bank, "--n", 3) == 0
    assert set(open_relations(bank, "relations/grammar").relations) == {"subj", "obj", "mod"}
    assert make(monkeypatch, "relations-labels", "--out", tasks) == 0
    assert json.loads(tasks.read_text()) == icl_tasks()
    assert (tmp_path / "tasks.card.json").is_file()
    assert make(monkeypatch, "relations-treebank", "--out", tmp_path / "x.jsonl") == 2
    assert "must end in .conllu" in capsys.readouterr().err


def test_the_tasks_can_be_asked() -> None:
    opened = open_tasks(icl_tasks())
    assert [task.kind for task in opened.tasks] == [task["kind"] for task in icl_tasks()["tasks"]]
    assert sum(len(task.rules) for task in opened.tasks) == 2 + 2 + 4 + 9 + 6 + 6
