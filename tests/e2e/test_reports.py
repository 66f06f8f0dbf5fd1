"""The reports' pages in a real browser: nothing in them acts, everybody can read them, and paper and phone fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from bridge.reports import catalog, render_html
from bridge.reports.values import Report
from tests.e2e.conftest import PATIENCE
from tests.reports.test_rendering import HOSTILE, NOVEMBER, SPOKEN, WORLD, poisoned
from tests.reports.world import empty, reported

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
DESK: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 800}
PAPER = {703: "section:not(.wide) table, .figures", 1032: ".wide table"}
"""Pixels between the margins of an A4 sheet, upright and across; and what is printed on it."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Report]]:
    folder = tmp_path_factory.mktemp("e2e-reports")
    empty(f"sqlite:///{folder}/empty.db")
    with reported(folder / "empty.db", folder, NOVEMBER, WORLD, code="fr", projects=frozenset({11, 13})) as desk:
        yield {name: catalog.make(name, desk) for name in catalog.REPORTS}


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A window that fails the test when anything is asked for, said, or thrown."""
    context = browser.new_context(viewport=DESK)
    context.set_default_timeout(PATIENCE)
    window = context.new_page()
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("console", lambda said: complaints.append(said.text))
    window.on("dialog", lambda dialog: complaints.append(dialog.message))
    window.on("request", lambda sent: complaints.append(sent.url) if not sent.url.startswith("file:") else None)
    yield window
    context.close()
    assert complaints == []


def show(page: Page, report: Report, folder: Path) -> None:
    path = folder / f"{report.name}.html"
    path.write_text(render_html.render(report, SPOKEN["fr"]), encoding="utf-8")
    page.goto(path.as_uri())


def barriers(page: Page) -> list[str]:
    page.evaluate(AXE)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [f"{each['id']}: {each['nodes'][0]['html'][:150]}" for each in found["violations"]]


@pytest.mark.parametrize("name", catalog.REPORTS)
def test_everybody_can_read_a_report_by_day_by_night_and_on_a_phone(
    name: str, made: dict[str, Report], page: Page, tmp_path: Path
) -> None:
    show(page, made[name], tmp_path)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_hostile_texts_do_nothing_and_are_shown(made: dict[str, Report], page: Page, tmp_path: Path) -> None:
    show(page, poisoned(made["violations"]), tmp_path)
    assert page.locator("script, img, iframe").count() == 0
    assert page.get_by_text(HOSTILE[0]).count() > 0
    assert page.evaluate("document.title") != ""


def test_a_number_opens_by_keyboard_and_leads_to_its_row(made: dict[str, Report], page: Page, tmp_path: Path) -> None:
    show(page, made["violations"], tmp_path)
    summary = page.locator("dl.figures summary").first
    summary.focus()
    page.keyboard.press("Enter")
    link = page.locator("dl.figures details[open] a").first
    target = link.get_attribute("href") or ""
    assert re.fullmatch(r"#row-\d+", target)
    link.focus()
    page.keyboard.press("Enter")
    row = page.locator(target)
    assert row.is_visible()
    assert link.inner_text() in row.inner_text()


@pytest.mark.parametrize("name", catalog.REPORTS)
def test_paper_cuts_no_table_off(name: str, made: dict[str, Report], page: Page, tmp_path: Path) -> None:
    show(page, made[name], tmp_path)
    page.emulate_media(media="print")
    for width, tables in PAPER.items():
        page.set_viewport_size({"width": width, "height": 900})
        wider = f"tables => tables.filter(t => t.offsetWidth > {width}).map(t => t.innerText.slice(0, 200))"
        assert page.locator(tables).evaluate_all(wider) == []


def test_paper_has_no_menus_and_keeps_every_row(made: dict[str, Report], page: Page, tmp_path: Path) -> None:
    show(page, made["violations"], tmp_path)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    rows = page.locator("tr[id]")
    assert rows.count() == len(made["violations"].rows.rows)
    assert rows.first.is_visible()
    assert page.pdf().startswith(b"%PDF")
