"""The explorer in Chromium on a hostile study: nothing leaves the machine, nothing runs."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.apps.sample import WORDS, sample_study
from tests.browser.test_circuitsvis_page import keep_screenshot
from tests.cli.test_explore import free_port, wait_until_it_answers
from tests.plots.hostile import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = {"overview": "", "capture": "capture", "ability": "ability"}


def serve(study: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-c", "from interp.cli.app import main; main()"]
    server = subprocess.Popen(
        [*command, "explore", str(study), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_it_answers(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def hostile_address(tmp_path_factory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("hostile") / "study"
    yield from serve(sample_study(path, words=HOSTILE, titles=HOSTILE[:8]).path)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("plain") / "study"
    yield from serve(sample_study(path, words=WORDS).path)


def open_page(watched, url: str) -> None:
    watched.page.goto(url)
    watched.page.wait_for_selector("h1")
    expect(watched.page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=30_000)
    watched.page.wait_for_timeout(500)


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_study_is_shown_as_text_and_nothing_leaves(watched, hostile_address, name):
    open_page(watched, hostile_address + PAGES[name])
    main = watched.page.get_by_test_id("stMain")
    assert main.locator("script, iframe, object, [onerror], [onload], [onmouseover]").count() == 0
    assert main.locator("img[src='x']").count() == 0
    assert main.locator("a[href*='example.org'], a[href^='javascript']").count() == 0
    keep_screenshot(watched.page, f"hostile-{name}")
    assert (watched.left, watched.dialogs, watched.errors) == ([], [], [])


def test_hostile_tokens_stand_on_the_page_as_they_are(watched, hostile_address):
    open_page(watched, hostile_address + "capture?count=6")
    text = watched.page.get_by_test_id("stMain").inner_text()
    assert "<script>alert(1)</script>" in text
    assert "**bold** `code` | cell | :red[x] :smile:" in text
    assert "\\u202eevil" in text


def test_a_hostile_address_shows_a_view_that_exists(watched, address):
    bad = "%3C/script%3E%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"
    keys = ("store", "site", "unit", "scale", "document", "count", "side")
    open_page(watched, address + "capture?" + "&".join(f"{key}={bad}" for key in keys))
    assert watched.page.get_by_test_id("stException").count() == 0
    expect(watched.page.get_by_text("In the text")).to_be_visible()
    assert (watched.left, watched.dialogs, watched.errors) == ([], [], [])


def test_a_view_is_shared_by_its_address(watched, address):
    open_page(watched, address + "capture?unit=3&side=lowest")
    unit = watched.page.get_by_label(re.compile("^Unit"))
    assert unit.input_value() == "3"
    unit.fill("7")
    unit.press("Enter")
    watched.page.wait_for_url(re.compile("unit=7"))
    assert "side=lowest" in watched.page.url


def test_every_page_is_reached_from_the_overview_and_drawn(watched, address):
    open_page(watched, address)
    keep_screenshot(watched.page, "overview")
    watched.page.get_by_role("link", name="Look at its activations").click()
    expect(watched.page.get_by_role("heading", name="Where it is strongest")).to_be_visible()
    assert "store=activations" in watched.page.url or watched.page.url.endswith("/capture")
    keep_screenshot(watched.page, "capture")
    watched.page.get_by_role("link", name="Abilities").click()
    expect(watched.page.get_by_role("heading", name="MLP neurons")).to_be_visible()
    expect(watched.page.locator(".js-plotly-plot")).to_have_count(3)
    keep_screenshot(watched.page, "ability")
    assert (watched.left, watched.dialogs, watched.errors) == ([], [], [])


def test_every_control_and_picture_has_a_name_for_a_screen_reader(watched, address):
    for page in PAGES.values():
        open_page(watched, address + page)
        main = watched.page.get_by_test_id("stMain")
        for control in main.locator("input:visible, button:visible").all():
            named = control.get_attribute("aria-label") or control.inner_text()
            labelled = (
                control.get_attribute("id")
                and main.locator(f'label[for="{control.get_attribute("id")}"]').count()
            )
            assert named or labelled or control.get_attribute("title")
        for strip in main.locator("[role=img]").all():
            assert strip.get_attribute("aria-label")
