"""Tables keep every cell, align columns, and never let a cell steer the page or the terminal."""

from interp.results.escape import plotly_text
from interp.results.tables import columns_aligned, html_table, text_table

HOSTILE = "<b>\x1b[2J"


def test_columns_start_where_the_widest_cell_ends():
    lines = columns_aligned([["a", "bb"], ["cccc", "d"]]).split("\n")
    assert lines == ["a     bb", "cccc  d"]


def test_notes_stand_under_the_table_after_an_empty_line():
    assert text_table(["n"], [["1"]], ["said"]) == "n\n1\n\nsaid"


def test_nothing_in_a_cell_is_markup_or_a_control_character():
    assert "\x1b" not in columns_aligned([[HOSTILE]])
    page = html_table([HOSTILE], [[HOSTILE]], [HOSTILE])
    assert "<b>" not in page and page.count("&lt;b&gt;") == 3
    assert plotly_text(HOSTILE) == "&lt;b&gt;\\x1b[2J"
