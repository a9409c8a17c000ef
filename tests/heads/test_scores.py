"""HeadScores: what it keeps, what it refuses, what it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.heads import Column, Head, HeadScores, joined
from interp.heads.scores import ARRAYS
from interp.results.errors import BadInput, CorruptFile, Mismatch
from interp.results.provenance import Provenance


def column(name: str, **changed: object) -> Column:
    own = {
        "name": name, "detector": name, "definition": "", "source": "", "version": 1,
        "unit": "share", "low": 0.0, "high": 1.0, "chance": "", "null": "", "inputs": "text",
    }  # fmt: skip
    return Column.from_json({**own, "relation": None, **changed})


def scores(*names: str, seed: int = 0, model: str = "m", extras: tuple[str, ...] = ()):
    rng = np.random.default_rng(seed)
    shape = (2, 3, len(names))
    return HeadScores(
        columns=tuple(column(name) for name in names),
        **{name: rng.random(shape) for name in ARRAYS},
        extras={name: rng.random(shape) for name in extras},
        notes={name: {"dropped": 1} for name in names},
        settings={},
        provenance=Provenance.collect(
            "test", model_hash=model, corpus_hash=names[0], seed=0, settings={}
        ),
    )


def test_the_best_heads_come_first_and_untested_ones_never() -> None:
    found = scores("a")
    found.score[..., 0] = [[0.1, np.nan, 0.9], [0.5, 0.2, 0.9]]
    assert found.top("a", 3) == [Head(0, 2), Head(1, 2), Head(1, 0)]
    assert len(found.top("a", 10)) == 5
    assert str(Head(0, 2)) == "L0H2"


def test_significant_heads_are_those_below_alpha() -> None:
    found = scores("a")
    found.p_adj[..., 0] = [[0.04, np.nan, 0.05], [0.2, 0.01, 1.0]]
    assert set(found.significant("a")) == {Head(0, 0), Head(1, 1)}
    assert found.significant("a", alpha=0.02) == [Head(1, 1)]


def test_a_columns_own_condition_holds_wherever_heads_are_called_significant(
    tmp_path: Path,
) -> None:
    """Of two heads of low p one raises the tail: it alone is listed, also after saving."""
    found = scores("a", "b", extras=("raise_low",))
    found.p_adj[:] = 0.001
    found.extras["raise_low"][:] = np.array([[0.3, -0.1, np.nan], [0.0, -1, -1]])[..., None]
    asking = (replace(found.columns[0], above_zero="raise_low"), found.columns[1])
    again = HeadScores.load(replace(found, columns=asking).save(tmp_path / "scores"))
    assert again.significant("a") == [Head(0, 0)]
    assert [c["significant"] for c in again.to_json()["columns"]][0] == ["L0H0"]
    assert len(again.significant("b")) == 6
    with pytest.raises(BadInput, match="'raise_low', which is no extra"):
        replace(scores("a"), columns=asking[:1])


def test_save_and_load_keep_every_number(tmp_path: Path) -> None:
    found = scores("a", "b", extras=("rate",))
    found.score[0, 0, 0] = np.nan
    again = HeadScores.load(found.save(tmp_path / "scores"))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.extras["rate"], found.extras["rate"])
    assert (again.columns, again.notes, again.provenance) == (
        found.columns,
        found.notes,
        found.provenance,
    )


def test_a_garbled_header_is_refused(tmp_path: Path) -> None:
    path = scores("a").save(tmp_path / "scores")
    header = json.loads((path / "header.json").read_text())
    del header["columns"][0]["unit"]
    (path / "header.json").write_text(json.dumps(header))
    with pytest.raises(CorruptFile, match="unit"):
        HeadScores.load(path)


def test_a_finding_agrees_with_itself_and_not_with_its_negative() -> None:
    found = scores("a", "b")
    other = replace(found, score=-found.score)
    assert found.compare(found, k=2)["a"] == (pytest.approx(1.0), 1.0, 2, 6)
    assert found.compare(other, k=2)["b"].spearman == pytest.approx(-1.0)
    assert found.compare(other, k=3)["b"].jaccard == 0.0


def test_other_shapes_are_not_compared() -> None:
    found = scores("a")
    wider = replace(
        found, **{name: np.concatenate([getattr(found, name)] * 2, axis=1) for name in ARRAYS}
    )
    with pytest.raises(Mismatch, match="3 heads against 2 of 6"):
        found.compare(wider)


def test_joined_findings_keep_their_columns_and_fill_others_extras_with_nan() -> None:
    a, b = scores("a", extras=("rate",)), scores("b", "c", seed=1)
    both = joined([a, b])
    assert both.names == ("a", "b", "c")
    np.testing.assert_array_equal(both.array("p_adj", "c"), b.array("p_adj", "c"))
    np.testing.assert_array_equal(both.array("rate", "a"), a.array("rate", "a"))
    assert np.isnan(both.array("rate", "b")).all()


def test_findings_of_two_models_and_columns_of_one_name_do_not_join() -> None:
    with pytest.raises(Mismatch, match="2 models"):
        joined([scores("a"), scores("b", model="other")])
    with pytest.raises(BadInput, match="two columns are named a"):
        joined([scores("a"), scores("a")])


def test_an_unknown_column_or_array_names_those_there_are() -> None:
    with pytest.raises(BadInput, match="there are a"):
        scores("a").top("b", 1)
    with pytest.raises(BadInput, match="score, null_mean"):
        scores("a").array("strength", "a")


def test_json_and_table_say_untested_and_never_nan() -> None:
    found = scores("a")
    found.z[...] = np.nan
    json.dumps(found.to_json(), allow_nan=False)
    found.score[...] = np.nan
    assert found.table()[1][0][:2] == ("a", "none tested")


def test_a_notebook_sees_names_of_columns_escaped() -> None:
    html = scores("<b>")._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
