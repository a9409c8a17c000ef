"""The table of several models: derived from single answers, saved whole, escaped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp.evaluation.compare import compare
from interp.evaluation.comparison import Column, Comparison, Row
from interp.evaluation.items import Item
from interp.results.errors import BadInput, CorruptFile
from interp.results.finding import HEADER
from interp.results.intervals import wilson
from interp.results.provenance import Provenance

LANGUAGES = ("A", "D", "E")
COLUMNS = (
    Column(key="target", title="ability in D, E", tasks=("ability",), languages=("D", "E"),
           statistic="mean"),
    Column(key="general", title="general, mean", tasks=("general",), languages=LANGUAGES,
           statistic="mean"),
    Column(key="general_worst", title="general, worst", tasks=("general",), languages=LANGUAGES,
           statistic="worst"),
)  # fmt: skip


def some_items(n: int = 40) -> list[Item]:
    return [
        Item(id=f"{task}-{language}-{i}", prompt=f"{i}", answer="x", task=task, language=language,
             split="test")
        for task in ("ability", "general") for language in LANGUAGES for i in range(n)
    ]  # fmt: skip


def table(shares: dict[str, float], *, reference: str = "transfer", n: int = 40) -> Comparison:
    """Each model right on the first share of every group's items."""
    items = some_items(n)
    place = np.arange(len(items)) % n
    return compare(
        rows=[Row(key=k, title=f"the {k}", share_changed=0.2, setting={"gamma": 1.0})
              for k in shares],
        columns=COLUMNS,
        items=items,
        correct=np.array([place < round(share * n) for share in shares.values()]),
        reference=reference,
        seed=0,
        provenance=Provenance.collect(
            "test", model_hash=None, corpus_hash=None, seed=0, settings={}
        ),
    )  # fmt: skip


def test_a_cell_of_one_language_is_wilsons_interval() -> None:
    one = table({"transfer": 0.5, "base": 0.1})
    assert one.accuracy("base", ("general",), "A") == wilson(4, 40)
    assert one.cell("base", "general_worst") == wilson(4, 40)


def test_arrays_are_the_cells() -> None:
    one = table({"transfer": 0.5, "base": 0.1})
    assert one.value.shape == one.low.shape == one.high.shape == (2, 3)
    assert one.value[1, 0] == one.cell("base", "target").value == pytest.approx(0.1)
    assert bool((one.low <= one.value).all() and (one.value <= one.high).all())
    assert one.n.tolist() == [80, 120, 120]


def test_what_files_say_does_not_steer_the_terminal() -> None:
    one = table({"transfer": 0.9, "base": 0.1})
    languages = tuple(f"{name}\x1b[31m" for name in one.item_languages)
    columns = tuple(
        replace(
            column,
            title=f"{column.title} \x1b[2J",
            languages=tuple(f"{name}\x1b[31m" for name in column.languages),
        )
        for column in one.columns
    )
    said = ("long " * 100 + "\x1b]0;title\x07", "two\nlines")
    one = replace(one, item_languages=languages, columns=columns, statements=said)
    text = one.text_table()
    assert "\x1b" not in text and "\x07" not in text
    assert r"A\x1b[31m" in text
    assert "long " * 100 in text
    assert r"two\nlines" in text


def test_the_note_says_that_cells_and_tests_weigh_items_differently() -> None:
    text = table({"transfer": 0.9, "base": 0.1}).text_table()
    assert "Cells weigh languages equally; paired tests pool the items of a column." in text


def test_the_worst_language_is_named() -> None:
    one = table({"transfer": 1.0, "base": 1.0})
    correct = one.correct.copy()
    hit = (np.array(one.item_tasks) == "general") & (np.array(one.item_languages) == "E")
    correct[1, np.flatnonzero(hit)[:10]] = False
    one = replace(one, correct=correct)
    assert one.worst_language("base", "general_worst") == "E"
    assert one.cell("base", "general_worst").value == pytest.approx(0.75)
    assert one.cell("base", "general").value == pytest.approx((1 + 1 + 0.75) / 3)


def test_the_first_sentence_says_what_holds_and_the_second_what_does_not() -> None:
    one = table({"base": 0.05, "transfer": 0.5, "close": 0.45, "ceiling": 1.0})
    supported, open_ = one.statements
    assert "on ability in D, E, the transfer is above the base (+0.450 [" in supported
    assert "below the ceiling (-0.500 [" in supported
    assert "the close" not in supported
    assert "the transfer is above the close (+0.050" in open_ and "p = " in open_
    assert "ceiling" not in open_


def test_a_table_that_supports_nothing_says_so() -> None:
    assert (
        table({"base": 0.5, "transfer": 0.5})
        .statements[0]
        .endswith("none of the differences tested.")
    )
    assert "Not supported: none" in table({"base": 0.0, "transfer": 1.0}).statements[1]


def test_a_better_rival_is_not_hidden() -> None:
    one = table({"transfer": 0.5, "task_arithmetic": 0.9})
    assert "the transfer is below the task_arithmetic" in one.statements[0]


def test_adjusted_p_values_are_never_below_the_plain_ones() -> None:
    one = table({"base": 0.3, "transfer": 0.5, "close": 0.45})
    assert all(test.p_holm >= test.p for test in one.tests)
    assert {test.column for test in one.tests} == {"target", "general"}
    assert one.test("base", "target").only_first == 16


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    one = table({"base": 0.3, "transfer": 0.5})
    again = Comparison.load(one.save(tmp_path / "table"))
    assert again.text_table() == one.text_table()
    assert again.to_json() == one.to_json()
    assert again.rows == one.rows and again.columns == one.columns and again.tests == one.tests
    assert np.array_equal(again.correct, one.correct)


def test_a_header_of_other_items_is_corrupt(tmp_path: Path) -> None:
    path = table({"base": 0.3, "transfer": 0.5}).save(tmp_path / "table")
    text = (path / HEADER).read_text().replace('"ability-A-0",', "", 1)
    (path / HEADER).write_text(text)
    with pytest.raises(CorruptFile, match="not a whole comparison"):
        Comparison.load(path)


def test_markup_in_a_title_stays_text() -> None:
    one = table({"<img src=x onerror=alert(1)>": 0.3, "transfer": 0.5})
    page = one._repr_html_()
    assert "<img" not in page and "&lt;img" in page


def test_an_unknown_row_or_column_is_named() -> None:
    one = table({"base": 0.3, "transfer": 0.5})
    with pytest.raises(BadInput, match="no row 'other'.*base, transfer"):
        one.cell("other", "target")
    with pytest.raises(BadInput, match="no column 'other'"):
        one.cell("base", "other")
    with pytest.raises(BadInput, match="no test"):
        one.test("ceiling", "target")


def test_json_has_no_nan() -> None:
    one = replace(table({"base": 0.3, "transfer": 0.5}), item_languages=("Z",) * 240)
    assert one.to_json()["target"]["base"] == [None, None, None]


def test_a_share_that_is_not_known_is_nan_in_the_array_and_a_dash_in_the_table() -> None:
    one = table({"base": 0.3, "transfer": 0.5})
    one = replace(one, rows=(replace(one.rows[0], share_changed=None), one.rows[1]))
    assert np.isnan(one.share_changed[0])
    assert one.text_table().splitlines()[1].endswith(" -")
