"""Coloured tokens as HTML: escaped, readable, NaN said."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.plots.colors import diverging_color, relative_luminance, symmetric_limit, text_on
from interp.plots.tables import facts, html_table
from interp.plots.tokens import scale_legend, token_strip
from tests.plots.hostile import HOSTILE
from tests.plots.test_circuitsvis import Elements


def test_hostile_tokens_stay_text_and_every_token_has_its_span():
    elements = Elements(token_strip(HOSTILE, np.linspace(-1, 1, len(HOSTILE))))
    assert elements.names == {"div", "span", "wbr"}
    spans = [attrs for name, attrs in elements.found if name == "span"]
    assert len(spans) == len(HOSTILE)
    assert all(set(attrs) == {"title", "style"} for attrs in spans)


def test_hostile_cells_stay_text():
    table = html_table(["a"], [[text] for text in HOSTILE], caption=HOSTILE[1])
    assert Elements(table).names == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert Elements(facts({text: text for text in HOSTILE})).names == {
        *("table", "tbody", "tr", "th", "td")
    }
    assert Elements(scale_legend(1.0, unit=HOSTILE[1])).names == {"div", "span"}


def test_a_token_without_a_number_says_so():
    assert 'title="a : not measured"' in token_strip(["a"], np.array([np.nan]))


def test_the_marked_token_alone_is_outlined():
    assert token_strip(["a", "b", "c"], np.zeros(3), marked=1).count("outline:") == 1


def test_the_limit_of_nothing_measured_is_one():
    assert symmetric_limit(np.array([np.nan, np.inf])) == 1.0
    assert symmetric_limit(np.array([])) == 1.0
    assert symmetric_limit(np.array([-3.0, 2.0, np.nan])) == 3.0


@given(st.floats(-10, 10), st.floats(0.01, 10))
def test_text_on_every_colour_of_the_scale_has_contrast_of_4_5(value, limit):
    background = diverging_color(value, limit)
    assert re.fullmatch("#[0-9a-f]{6}", background)
    levels = sorted(relative_luminance(color) + 0.05 for color in (background, text_on(background)))
    assert levels[1] / levels[0] >= 4.5


@pytest.mark.parametrize("value", [0.0, -0.0])
def test_zero_is_white(value):
    assert diverging_color(value, 1.0) == "#ffffff"
