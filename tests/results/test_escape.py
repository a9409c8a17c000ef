import json

import pytest

from interp.results.escape import html_text, script_json, visible

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]>",
    '"><svg onload=alert(1)>',
    "\u2028\u2029",
    "\u202eevil",
    "\x00",
    "\ud800",
    "\x1b]0;title\x07\x1b[2J",
    "a" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_markup_leaves_html_text(text: str) -> None:
    shown = html_text(text)
    assert "<" not in shown
    assert ">" not in shown
    assert '"' not in shown
    shown.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_script_json_means_the_same_and_holds_no_markup(text: str) -> None:
    shown = script_json({text: [text]})
    assert not set("<>&\u2028\u2029") & set(shown)
    assert json.loads(shown) == {text: [text]}


@pytest.mark.parametrize("text", HOSTILE)
def test_a_terminal_sees_one_short_printable_line(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown) <= 200 * 10 + 1
