"""Debian's Chromium in front of the dashboard, with the demo's day in its ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from bridge.web.app import create_app
from bridge.web.serving import serving
from tests.web.world import NAME, PASSWORD, Desk, desk, fill

CHROMIUM = shutil.which("chromium") or ""
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
"""Without a sandbox because continuous integration runs as root; and it shall call nobody."""
PATIENCE = 60_000
"""Milliseconds that anything may take to appear: ten times what a busy machine needs, half of a test's limit."""
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)
            # One browser a file: they are slow to start, and one for all would keep one process busy to the end.
            item.add_marker(pytest.mark.xdist_group(f"browser {item.path.stem}"))
            if not CHROMIUM:
                item.add_marker(pytest.mark.skip(reason="no chromium: apt-get install chromium"))


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    folder = tmp_path_factory.mktemp("filled")
    return folder, fill(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*QUIET, "--disable-component-update", "--disable-sync"]
        )
        yield started
        started.close()


@dataclass
class Visitor:
    """Somebody in front of a browser window."""

    context: BrowserContext
    page: Page
    url: str
    desk: Desk
    complaints: list[str] = field(default_factory=list)
    """What the browser complained about: errors, refusals by the content policy, requests to elsewhere."""

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def wait_for_paint(self) -> None:
        """Until the page has been seen: Chromium drops the keys that are pressed before."""
        self.page.evaluate(
            """() => new Promise(seen => new PerformanceObserver(list => {
                if (list.getEntriesByName('first-contentful-paint').length) seen();
            }).observe({type: 'paint', buffered: true}))"""
        )

    def log_in(self, password: str = PASSWORD) -> Page:
        self.go("/login")
        self.page.fill("#name", NAME)
        self.page.fill("#password", password)
        with self.page.expect_navigation():
            self.page.click("main button")
        return self.page

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on(
            "request",
            lambda sent: (
                None if sent.url.startswith((self.url, "data:")) else self.complaints.append(f"asked for {sent.url}")
            ),
        )


Open = Callable[..., Visitor]


@pytest.fixture
def served(filled: tuple[Path, datetime], tmp_path: Path) -> Iterator[tuple[str, Desk]]:
    """The dashboard's address, and what it is made from."""
    made = desk(filled[0], tmp_path / "state", filled[1])
    with made.site() as site, serving(create_app(site), "127.0.0.1", 0) as url:
        yield url, made


@pytest.fixture
def window(browser: Browser, served: tuple[str, Desk]) -> Iterator[Open]:
    """Opens a window; keyword arguments are the browser's. Whatever it complains about fails the test."""
    url, made = served
    with ExitStack() as stack:
        visitors: list[Visitor] = []

        def opened(**options: Any) -> Visitor:
            context = stack.enter_context(browser.new_context(**{"locale": "en-GB"} | options))
            context.set_default_timeout(PATIENCE)
            visitor = Visitor(context, context.new_page(), url, made)
            visitor.watch()
            visitors.append(visitor)
            return visitor

        yield opened
        assert [complaint for visitor in visitors for complaint in visitor.complaints] == []
