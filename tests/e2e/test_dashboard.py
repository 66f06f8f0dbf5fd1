from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Literal

import openpyxl
import pytest
from playwright.sync_api import Page, expect

from bridge.domain.model import Listed, ProjectId, StatusId, TypeId, UserId, WorkPackageId
from bridge.reports.catalog import REPORTS
from bridge.store.ledger import TicketReading
from bridge.store.schema import EntryKind
from tests.e2e.conftest import Open, Visitor
from tests.web.world import PASSWORD, READABLE

AXE = (Path(__file__).parent / "axe/axe.min.js").read_text(encoding="utf-8")
PAGES = ("/", "/violations", "/tickets", "/tickets/3", "/people", "/people/61", "/policy", "/reports", "/integrity")
STATES = (
    "/violations?first=2026-11-17&last=2026-11-17",
    "/violations?period=last-year",
    "/tickets?q=nothing+like+this",
    "/integrity?check=newest",
    "/reports?project=13",
)
"""Pages as they also look: with other days, with nothing to show, with an answer."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PHONE = {"viewport": {"width": 390, "height": 800}, "has_touch": True}


def barriers(page: Page) -> list[str]:
    """What axe finds in the light and in the dark that keeps people out."""
    page.evaluate(AXE)
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        seen = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        found += [f"{page.url} ({scheme}): {each['id']}: {each['nodes'][0]['html'][:150]}" for each in seen]
    return found


# --- Coming in ------------------------------------------------------------------------------------------------------


def test_a_wrong_login_is_told_and_a_right_one_leads_to_where_somebody_wanted_to_go(window: Open) -> None:
    visitor = window(java_script_enabled=False)
    page = visitor.go("/tickets/3")
    expect(page).to_have_title("Log in · bridge")
    page.fill("#name", "alice")
    page.fill("#password", "wrong")
    page.click("main button")
    expect(page.get_by_role("alert")).to_have_text("Name and password do not belong together.")
    visitor.complaints.clear()  # the browser reports the 401 itself
    page.fill("#password", PASSWORD)
    page.click("main button")
    expect(page).to_have_url(f"{visitor.url}/tickets/3")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in · bridge")
    visitor.go("/")
    expect(page).to_have_title("Log in · bridge")


def test_the_language_is_the_browsers_until_somebody_chooses(window: Open) -> None:
    visitor = window(java_script_enabled=False, locale="fr-FR")
    page = visitor.log_in()
    expect(page.get_by_role("heading", name="Ce qui attend quelqu’un")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="What needs a person")).to_be_visible()
    page.get_by_role("link", name="Policy").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


# --- Looking around -------------------------------------------------------------------------------------------------


def test_a_ticket_is_found_and_its_life_is_told(window: Open) -> None:
    visitor = window(java_script_enabled=False)
    page = visitor.log_in()
    page.get_by_role("link", name="Tickets").click()
    page.get_by_label("Number, or words").fill("beta anomalie")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="#3", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("#3 Prime de fin d'année mal proratisée")
    expect(page.locator(".life > li")).to_have_count(6)
    expect(page.locator(".life .badge.back")).to_have_count(2)
    page.locator(".life summary").first.click()
    expect(page.locator("blockquote").first).to_contain_text("EN COURS DE TEST")


def test_pause_and_resume(window: Open) -> None:
    visitor = window(java_script_enabled=False)
    page = visitor.log_in()
    expect(page.locator(".state .word")).to_have_text("Watching and enforcing")
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("Why").fill("a look first")
    page.get_by_role("button", name="Pause now").click()
    expect(page.locator(".state .word")).to_have_text("Paused")
    expect(page.locator(".state")).to_contain_text("a look first")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".state .word")).to_have_text("Watching and enforcing")


def test_what_somebody_has_seen_no_longer_waits(window: Open) -> None:
    page = window(java_script_enabled=False).log_in()
    page.get_by_role("button", name="Seen").click()
    expect(page.locator(".matters")).to_have_count(0)
    expect(page.get_by_text("Everything that came up has been dealt with")).to_be_visible()


@pytest.mark.parametrize("language", ["fr", "en"])
def test_each_report_is_read_downloaded_and_opened(window: Open, tmp_path: Path, language: str) -> None:
    visitor = window(locale={"fr": "fr-FR", "en": "en-GB"}[language], accept_downloads=True)
    page = visitor.log_in()
    alone = window()
    for name in REPORTS:
        visitor.go(f"/reports/{name}?period=2026-11&person=61")
        title = page.locator("article h1").inner_text()
        saved: dict[str, Path] = {}
        for form in ("HTML", "XLSX", "CSV", "JSON"):
            with page.expect_download() as waiting:
                page.locator(".forms").get_by_role("link", name=form, exact=True).click()
            saved[form] = tmp_path / waiting.value.suggested_filename
            waiting.value.save_as(saved[form])
        report = json.loads(saved["JSON"].read_bytes())
        assert title in json.dumps(report, ensure_ascii=False)
        with saved["CSV"].open(encoding="utf-8-sig", newline="") as file:
            assert len(next(csv.reader(file, delimiter={"fr": ";", "en": ","}[language]))) > 1
        assert openpyxl.load_workbook(saved["XLSX"]).sheetnames
        alone.url = saved["HTML"].as_uri()
        alone.go("")
        expect(alone.page.locator("h1")).to_have_text(title)


# --- For everybody --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [(*PAGES, *STATES, "/tickets/999"), READABLE], ids=["pages", "reports"])
@pytest.mark.parametrize(("language", "size"), [("fr-FR", {}), ("en-GB", PHONE)], ids=["fr-desk", "en-phone"])
def test_no_page_keeps_anybody_out_by_day_and_by_night(
    window: Open, language: str, size: dict[str, object], addresses: tuple[str, ...]
) -> None:
    visitor = window(locale=language, **size)
    page = visitor.go("/login")
    found = barriers(page)
    visitor.log_in()
    for address in addresses:
        visitor.go(address)
        found += barriers(page)
        if size:
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, f"{address} is {wide} pixels wide"
    visitor.complaints.clear()  # the browser reports the 404 itself
    assert found == []


def test_the_keyboard_is_enough(window: Open) -> None:
    visitor = window(java_script_enabled=True)
    page = visitor.log_in()
    visitor.wait_for_paint()
    page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_text("To the content")
    page.keyboard.press("Enter")
    expect(page.locator("main:focus")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Pause")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Why")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Why")).to_be_focused()
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator(".state")).to_contain_text("by keyboard")


# --- Hostile texts --------------------------------------------------------------------------------------------------

SCRIPT = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
HOSTILE = {
    "all": SCRIPT + "\N{RIGHT-TO-LEFT OVERRIDE}txet desrever مرحبا \N{FAMILY}\N{PILE OF POO} {{ 7 * 7 }} =1+1",
    "endless": "x" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_people_wrote_is_shown_as_text_and_stays_in_its_place(window: Open, text: str) -> None:
    visitor = window(**PHONE)
    _write_everywhere(visitor, text)
    page = visitor.log_in()
    for address in (*PAGES, *READABLE):
        visitor.go(address)
        assert page.title() != "owned"
        assert "49" not in page.title()
        assert page.locator("script, img[src=x]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in page.content()
    for address in ("/", "/violations", "/tickets", "/tickets/3", "/people", "/people/61"):
        visitor.go(address)
        assert text[:60] in page.locator("main").inner_text(), address


def test_what_people_wrote_acts_in_no_file_that_is_taken_away(window: Open, tmp_path: Path) -> None:
    visitor, alone = window(), window()
    _write_everywhere(visitor, f"=1+1{SCRIPT}")
    visitor.log_in()
    for name in REPORTS:
        files = {}
        for form in ("html", "csv", "xlsx", "json"):
            answer = visitor.context.request.get(f"{visitor.url}/reports/{name}.{form}?period=2026-11&person=61")
            assert answer.ok
            files[form] = tmp_path / f"{name}.{form}"
            files[form].write_bytes(answer.body())
        alone.url = files["html"].as_uri()
        alone.go("")
        assert alone.page.title() != "owned"
        assert alone.page.locator("script, img").count() == 0
        with files["csv"].open(encoding="utf-8-sig", newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if cell.startswith(("=", "+", "@"))]
        for sheet in openpyxl.load_workbook(files["xlsx"]):
            assert not [cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
        json.loads(files["json"].read_bytes())


def test_what_somebody_types_into_the_dashboard_is_shown_as_text(window: Open) -> None:
    visitor = window()
    page = visitor.go("/login")
    page.fill("#name", SCRIPT)
    page.fill("#password", "wrong")
    page.click("main button")
    expect(page.locator("#name")).to_have_value(SCRIPT)
    visitor.complaints.clear()  # the browser reports the 401 itself
    visitor.log_in()
    visitor.go("/tickets")
    page.get_by_label("Number, or words").fill(SCRIPT)
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_label("Number, or words")).to_have_value(SCRIPT)
    visitor.go("/")
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("Why").fill(SCRIPT)
    page.get_by_role("button", name="Pause now").click()
    expect(page.locator(".state")).to_contain_text(SCRIPT)
    assert page.title() != "owned"
    assert page.locator("script, main img").count() == 0


def _write_everywhere(visitor: Visitor, text: str) -> None:
    """As an OpenProject could have said it."""
    import html

    from bridge.domain.model import Status

    desk = visitor.desk
    marked = html.escape(text)
    received = {
        "id": 900,
        "version": 2,
        "_type": "Activity",
        "user": 61,
        "createdAt": "2026-11-24T16:00:00Z",
        "updatedAt": "2026-11-24T16:00:00Z",
        "comment": text,
        "details": [["", f"<strong>Sujet</strong> modifié de <i>x</i> à <i>{marked}</i>"]],
        "internal": False,
    }
    reading = TicketReading(
        Listed(WorkPackageId(3), ProjectId(13), StatusId(49), TypeId(20)), ((900, "2026-11-24T16:00:00Z", received),)
    )
    ledger = desk.ledger
    assert ledger is not None
    with ledger.batch():
        ledger.observe([reading], at=desk.now)
        ledger.observe_people({UserId(61): text}, desk.now)
        ledger.observe_projects({ProjectId(13): (text, text)}, desk.now)
        ledger.observe_types({TypeId(20): text}, desk.now)
        ledger.observe_statuses([Status(StatusId(49), text, is_closed=False, is_default=False)], desk.now)
        ledger.record(EntryKind.APPEAL, {"decision": text, "person": 61}, desk.now, WorkPackageId(3))
        ledger.record(EntryKind.HOLD, {"reason": text}, desk.now, WorkPackageId(3))
