"""The CircuitsVis page in Chromium: drawn, offline, without a script from the data."""

import os
from pathlib import Path

import numpy as np
import pytest

from interp.plots.circuitsvis import attention_heads, colored_tokens, html_page
from tests.plots.hostile import HOSTILE

pytestmark = pytest.mark.browser


def keep_screenshot(page, name: str) -> None:
    """Save a picture of `page` where SCREENSHOTS says, for a person to look at."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def open_page(watched, page: str, folder: Path) -> None:
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    watched.page.goto(file.as_uri())
    watched.page.wait_for_selector("#picture-0 *", state="attached")
    watched.page.wait_for_timeout(300)


def test_hostile_tokens_are_drawn_as_text_and_run_nothing(watched, tmp_path):
    tokens = list(HOSTILE)
    picture = colored_tokens(tokens, np.linspace(-1, 1, len(tokens)))
    open_page(watched, html_page([picture], title=HOSTILE[1]), tmp_path)
    watched.page.hover("#picture-0 .colored-tokens > span:nth-child(2) span")
    spans = watched.page.locator("#picture-0 .colored-tokens > span > span")
    drawn = [text.replace("\u2060", "") for text in spans.all_text_contents()]
    assert len(drawn) == len(tokens)
    assert drawn[2] == "<img\u00a0src=x\u00a0onerror=alert(1)>"
    assert watched.page.locator("#picture-0 img, #picture-0 script, #picture-0 svg").count() == 0
    assert (watched.left, watched.dialogs, watched.errors) == ([], [], [])
    keep_screenshot(watched.page, "circuitsvis-hostile")


def test_attention_and_tokens_are_drawn_from_one_bundle(watched, tmp_path):
    words = ["the", "cat", "sat", "on", "the", "mat"]
    pattern = np.tril(np.random.default_rng(0).random((4, 6, 6)))
    pattern /= pattern.sum(axis=-1, keepdims=True)
    pictures = [
        attention_heads(words, pattern),
        colored_tokens([f" {word}" for word in words], np.array([0, 1.0, -1, 0.5, 0, 0.2])),
    ]
    open_page(watched, html_page(pictures, title="Two pictures"), tmp_path)
    assert watched.page.locator("#picture-0 canvas").count() == 5
    assert watched.page.locator("#picture-1 .colored-tokens > span").count() == 6
    assert (watched.left, watched.dialogs, watched.errors) == ([], [], [])
    keep_screenshot(watched.page, "circuitsvis")


def test_the_notebook_frame_draws_and_cannot_reach_its_parent(watched, tmp_path):
    shown = colored_tokens(["a", "<b>"], np.array([1.0, -1.0]))._repr_html_()
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><body>{shown}</body>", encoding="utf-8")
    watched.page.goto(file.as_uri())
    frame = watched.page.frame_locator("iframe")
    frame.locator(".colored-tokens span").first.wait_for()
    inner = watched.page.frames[1]
    with pytest.raises(Exception, match="(?i)cross-origin|SecurityError"):
        inner.evaluate("() => parent.document.body.innerHTML")
    assert watched.errors == []
