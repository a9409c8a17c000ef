"""A real Chromium with the network refused; every request that leaves loopback is recorded."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, WebSocket, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_LOCAL_SCHEMES = {"data", "blob", "about", "file"}


@dataclass
class Watched:
    """A page with what it tried: addresses outside this machine, dialogs, uncaught errors."""

    page: Page
    left: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def attach(self) -> None:
        self.page.route("**/*", self._route)
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("websocket", self._websocket)

    def _route(self, route: Route) -> None:
        if self._note(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _note(self, url: str) -> bool:
        parts = urlsplit(url)
        is_local = parts.scheme in _LOCAL_SCHEMES or parts.hostname in _LOOPBACK
        if not is_local:
            self.left.append(url)
        return is_local

    def _websocket(self, socket: WebSocket) -> None:
        self._note(socket.url)

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


def chromium_path() -> str | None:
    """Chromium on this machine, as a system package installs it."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    return found or (_MAC if Path(_MAC).is_file() else None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser; without one the tests skip here and fail in CI, which installs it."""
    path = chromium_path()
    if path is None:
        message = "no Chromium: `make browser` installs it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def watched(chromium: Browser) -> Iterator[Watched]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    watched = Watched(context.new_page())
    watched.attach()
    yield watched
    context.close()
