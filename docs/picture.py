"""Takes the README's picture: the report of the demo's day, as Debian's Chromium shows it. Run by ``./run picture``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1180, 960


def main() -> None:
    """Play the demo anew, so that the picture shows what a user gets today."""
    with tempfile.TemporaryDirectory() as folder:
        demo = [sys.executable, "-m", "bridge", "demo", "--pace", "0", "--folder", folder]
        subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.goto((Path(folder) / "report.html").as_uri())
            page.screenshot(path=HERE / "report.png")
            browser.close()


main()
