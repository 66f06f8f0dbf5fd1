"""Takes the pictures of docs/dashboard.md again, of the demo's day: ``python -m docs.screenshots``."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from bridge.web.app import create_app
from bridge.web.serving import serving
from tests.web.world import NAME, PASSWORD, Desk, fill

IMAGES = Path(__file__).parent / "images"
DESKTOP = {"viewport": {"width": 1120, "height": 760}}
PHONE = {"viewport": {"width": 390, "height": 760}}
SHOTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("overview", "/", {"locale": "en-GB"} | DESKTOP),
    ("overview-fr-dark", "/", {"locale": "fr-FR", "color_scheme": "dark"} | DESKTOP),
    ("overview-phone", "/", {"locale": "fr-FR"} | PHONE),
    ("ticket", "/tickets/3", {"locale": "en-GB"} | DESKTOP),
    ("policy", "/policy", {"locale": "en-GB"} | DESKTOP),
)


def main() -> None:
    """Every picture, each in a window of its own."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium: apt-get install chromium")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        desk = Desk(Path(folder), fill(Path(folder)))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with desk.site() as site, serving(create_app(site), "127.0.0.1", 0) as url:
            for name, path, options in SHOTS:
                shoot(browser, url, name, path, options)
        browser.close()


def shoot(browser: Browser, url: str, name: str, path: str, options: dict[str, Any]) -> None:
    """One page, as far as the window shows it."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.click("main button")
    page.goto(url + path)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
