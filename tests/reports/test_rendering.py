"""Every format says the same, and no text in any field can act on whoever opens it."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openpyxl.cell import Cell
from pydantic import TypeAdapter

from bridge.domain.model import Mode
from bridge.errors import ConfigError
from bridge.reports import catalog, charts, comparison, render_csv, render_html, render_json, render_text, render_xlsx
from bridge.reports.cells import before, harmless
from bridge.reports.definitions.explain import explain
from bridge.reports.desk import Desk
from bridge.reports.language import language
from bridge.reports.period import Period
from bridge.reports.render import FORMATS, render
from bridge.reports.standing import standing
from bridge.reports.values import Cell as Value
from bridge.reports.values import Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table, Tally
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from tests.reports.world import BRIDGE, CEGAPE, Move, Said, Ticket, World, desk_on, fresh, reported

PARIS = ZoneInfo("Europe/Paris")
NOVEMBER = Period(date(2026, 11, 1), date(2026, 11, 30), PARIS)
SPOKEN = {code: language(code, PARIS) for code in ("fr", "en")}
MINUTE = timedelta(minutes=1)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


WORLD = World(
    tickets=(
        Ticket(
            1,
            (
                Move(at(2, 8), "NOUVEAU", 59, "client"),
                Move(at(2, 9), "EN COURS", 57, "cegape", comment="Nous regardons."),
                Move(at(3, 9), "EN COURS DE TEST", 59, "client", verdict="illegal", put_back=MINUTE),
                Move(at(3, 9, 1), "EN COURS", BRIDGE, None, own=True),
                Move(at(5, 15), "EN COURS DE TEST", 58, "cegape"),
                Move(at(6, 8), "RESOLU", 59, "client"),
                Move(at(9, 8), "CORRECTION NON VALIDE", 59, "client"),
            ),
            details=(("Sujet", "Bulletin faux"), ("Assigné à", "Support"), ("Version", "26.11")),
        ),
        Ticket(
            2,
            (
                Move(at(10, 8), "NOUVEAU", 60, "client"),
                Move(at(10, 9), "REJETE", 57, "cegape", verdict="illegal", mode=Mode.OBSERVE),
                Move(at(11, 9), "EN COURS", 70, None, verdict="undecided"),
            ),
            said=(Said(at(10, 10), 57),),
            project=13,
        ),
    ),
    watermark=datetime(2026, 11, 24, 17, tzinfo=UTC),
)

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><script>alert(2)</script>",
    '=HYPERLINK("http://evil.example","x")',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "  =1+1",
    "\t=1+1",
    "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
    "שלום \N{ARABIC LETTER ALEF}",
    "👩‍💻 émoji",
    "a\x00b\x07c\x1b[31md\ufffe",
    "{{ 7 * 7 }} {% raw %} {name} %s",
    "x" * 10_000,
    "line\nbreak\r\nand tab\t",
    "\ud800",
    "&lt;b&gt; &amp; 'quoted' \"twice\"",
)


@pytest.fixture
def desk(template: Path, tmp_path: Path) -> Iterator[Desk]:
    with reported(template, tmp_path, NOVEMBER, WORLD, code="fr", projects=frozenset({11, 13})) as made:
        yield made


@pytest.fixture(params=catalog.REPORTS)
def report(request: pytest.FixtureRequest, desk: Desk) -> Report:
    return catalog.make(request.param, desk)


def poisoned(report: Report) -> Report:
    """The report with a hostile text in every text that it has."""
    count = 0

    def next_text() -> str:
        nonlocal count
        count += 1
        return HOSTILE[count % len(HOSTILE)]

    def table(each: Table) -> Table:
        rows = [
            [next_text() if isinstance(cell, str) else cell for cell in row] for row in [*each.rows, *each.rows[:1]]
        ]
        columns = [replace(column, title=next_text()) for column in each.columns]
        shown = [
            replace(
                chart,
                title=next_text(),
                labels=[next_text() for _ in chart.labels],
                series=[replace(s, name=next_text()) for s in chart.series],
            )
            for chart in each.charts
        ]
        return replace(
            each, title=next_text(), note=next_text(), none=next_text(), rows=rows, columns=columns, charts=shown
        )

    return replace(
        report,
        title=next_text(),
        summary=next_text(),
        period=next_text(),
        notices=[next_text(), next_text()],
        figures=[replace(f, title=next_text(), note=next_text()) for f in report.figures],
        tables=[table(each) for each in report.tables],
        rows=table(report.rows),
        definition=[replace(fact, title=next_text(), text=next_text()) for fact in report.definition],
    )


class Page(HTMLParser):
    """What a browser would make of a page, as far as it matters here."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_page_is_whole_by_itself_and_holds_no_script(report: Report) -> None:
    page = Page(render_html.render(report, SPOKEN["fr"]))
    assert page.named("html") == [{"lang": "fr"}]
    assert not {"script", "link", "iframe", "object", "img", "form"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    urls = [value for _, each in page.tags for name, value in each.items() if name in ("href", "src", "action")]
    assert all(url and url.startswith(("#", "https://openproject.example.org/work_packages/")) for url in urls)
    targets = {attributes.get("id") for _, attributes in page.tags}
    assert {url[1:] for url in urls if url and url.startswith("#")} <= targets
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_each_chart_is_an_image_with_a_label_and_stands_above_its_numbers(report: Report) -> None:
    text = render_html.render(report, SPOKEN["fr"])
    drawn = [chart for table in report.all_tables if table.rows for chart in table.charts]
    figures = re.findall(r"<figure>(.*?)</figure>", text, re.DOTALL)
    assert len(figures) == len(drawn)
    for chart, figure in zip(drawn, figures, strict=True):
        page = Page(figure)
        (picture,) = page.named("svg")
        assert picture["role"] == "img"
        assert picture["aria-label"] == chart.title
        assert page.named("details")
        assert page.named("table")
        numbers = " ".join(page.texts)
        for series in chart.series:
            for value in series.values:
                assert charts.value_text(value, chart.kind, SPOKEN["fr"]) in numbers or chart.kind is Kind.COUNT


def test_a_sum_leads_to_the_entries_that_say_its_parts(template: Path, tmp_path: Path) -> None:
    path = fresh(template, tmp_path)
    with Ledger.open(f"sqlite:///{path}", now=lambda: WORLD.now) as ledger:
        for number in range(render_html.BEHIND + 2):
            ledger.record(
                EntryKind.CYCLE, {"snapshot": False, "read": number}, NOVEMBER.since + timedelta(hours=number)
            )
    with desk_on(f"sqlite:///{path}", NOVEMBER, WORLD) as desk:
        report = catalog.make("completeness", desk)
    (read,) = (row for row in next(t for t in report.tables if t.key == "reading").rows if row[0] == "Tickets read")
    assert isinstance(read[1], Tally)
    entries = [report.rows.rows[place][-1] for place in read[1].rows]
    told = render_html.render(report, SPOKEN["en"]).partition("Tickets read")[2].partition("</details>")[0]
    assert f"<summary>{sum(range(render_html.BEHIND + 2))}</summary>" in told
    assert re.findall(r'<a href="#row-\d+">(\d+)</a>', told) == [str(entry) for entry in entries[: render_html.BEHIND]]
    assert "and 1 more" in told


def test_hostile_texts_are_texts_in_a_page(report: Report) -> None:
    text = render_html.render(poisoned(report), SPOKEN["fr"])
    page = Page(text)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert len(page.named("style")) == 1
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe]", text)
    text.encode("utf-8")
    if page.named("bdi"):
        assert any("<script>alert(1)</script>" in said for said in page.texts)


def test_hostile_texts_are_texts_in_a_spreadsheet(report: Report) -> None:
    content = render_xlsx.render(poisoned(report), SPOKEN["fr"])
    book = openpyxl.load_workbook(io.BytesIO(content))
    for sheet in book:
        for row in sheet.iter_rows():
            for cell in row:
                assert cell.data_type != "f", cell.value
                assert len(str(cell.value or "")) <= render_xlsx.MOST_TEXT
    assert len(book.sheetnames) == len({name.casefold() for name in book.sheetnames}) == len(report.all_tables) + 1


def test_hostile_texts_begin_no_formula_in_a_csv(report: Report) -> None:
    hostile = poisoned(report)
    for table in hostile.all_tables:
        rows = list(csv.reader(io.StringIO(render_csv.render(hostile, table.key).decode("utf-8-sig")), delimiter=";"))
        assert len(rows) == len(table.rows) + 1 or len({t.key for t in hostile.all_tables}) < len(hostile.all_tables)
        for cell in (cell for row in rows[1:] for cell in row):
            assert not cell.lstrip().startswith(("=", "+", "@")), cell
            assert not cell.lstrip().startswith("-") or re.fullmatch(r"-?\d+(\.\d+)?", cell), cell
            assert not re.search("[\x00-\x08\x0b-\x1f]", cell)


def test_hostile_texts_reach_a_terminal_without_their_controls(report: Report) -> None:
    text = render_text.render(poisoned(report), SPOKEN["fr"], width=100)
    assert "\x1b" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f]", text.replace("\n", ""))
    assert max(map(len, text.splitlines())) <= 200


def test_json_follows_its_published_schema_and_keeps_every_value(report: Report) -> None:
    content = render_json.render(poisoned(report))
    TypeAdapter(render_json.ReportDocument).validate_json(content, strict=True)
    document = json.loads(content)
    assert [table["key"] for table in document["tables"]] == [table.key for table in report.tables]
    assert len(document["rows"]["rows"]) == len(report.rows.rows) + (1 if report.rows.rows else 0)
    schema = render_json.schema()
    Draft202012Validator(schema).validate(json.loads(content))
    assert set(schema["required"]) == set(document)  # type: ignore[call-overload]


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "pdf"])
def test_every_format_holds_the_headline_numbers(form: str, desk: Desk) -> None:
    report = catalog.make("violations", desk)
    content = render(report, SPOKEN["fr"], form)
    assert content
    if form == "csv":
        assert content.startswith(b"\xef\xbb\xbf")
        assert content.count(b"\r\n") == len(report.rows.rows) + 1
    if form in ("text", "html"):
        assert "Écarts" in content.decode()


def test_a_format_that_there_is_not_is_refused_with_those_there_are(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="text, html, csv, xlsx, json, pdf"):
        render(catalog.make("reverts", desk), SPOKEN["fr"], "docx")


def test_a_report_that_there_is_not_is_refused_with_those_there_are(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="violations, reverts"):
        catalog.make("nonsense", desk)


def test_a_csv_of_a_table_that_there_is_not_is_refused_with_those_there_are(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="by-party"):
        render_csv.render(catalog.make("violations", desk), "nonsense")


def test_a_spreadsheet_has_real_dates_in_the_zone_of_the_report_and_filters(desk: Desk) -> None:
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx.render(catalog.make("violations", desk), SPOKEN["fr"])))
    sheet = book["Les changements"]
    header = [cell.value for cell in sheet[1]]
    time = sheet.cell(2, header.index("Date") + 1)
    assert isinstance(time, Cell)
    assert time.is_date
    assert time.value == datetime(2026, 11, 11, 10, 0)  # noqa: DTZ001 - a sheet knows no zone; this is Paris
    assert sheet.auto_filter.ref == f"A1:{sheet.cell(1, len(header)).coordinate[:-1]}{sheet.max_row}"
    assert sheet.freeze_panes == "A2"
    ticket = sheet.cell(2, header.index("Demande") + 1)
    assert ticket.hyperlink is not None
    assert ticket.hyperlink.target == "https://openproject.example.org/work_packages/2"


def test_a_csv_speaks_the_spreadsheets_language(desk: Desk) -> None:
    french = render_csv.render(catalog.make("violations", desk)).decode("utf-8-sig")
    assert french.splitlines()[0].startswith("Décision;Date;Demande")
    english = catalog.make("violations", replace(desk, language=SPOKEN["en"]))
    assert render_csv.render(english).decode("utf-8-sig").splitlines()[0].startswith("Decision,Time,Ticket")


def test_a_csv_has_the_decimal_sign_of_its_language(desk: Desk) -> None:
    french = catalog.make("violations", desk)
    assert ";0,2;" in render_csv.render(french, "by-party").decode()
    english = catalog.make("violations", replace(desk, language=SPOKEN["en"]))
    assert ",0.2," in render_csv.render(english, "by-party").decode()


@pytest.mark.parametrize(("code", "day"), [("fr", "dd/mm/yyyy"), ("en", "yyyy-mm-dd")])
def test_a_spreadsheets_dates_are_written_as_its_language_does(code: str, day: str, desk: Desk) -> None:
    report = catalog.make("violations", replace(desk, language=SPOKEN[code]))
    book = openpyxl.load_workbook(io.BytesIO(render_xlsx.render(report, SPOKEN[code])))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row if isinstance(cell, Cell)]
    assert {cell.number_format for cell in cells if cell.is_date} == {
        day,
        f"{day} hh:mm",
    }


def test_a_figure_says_by_how_much_it_changed(desk: Desk) -> None:
    def told(now: Value, then: Value, kind: Kind) -> str:
        return before(Figure("k", "T", kind, now, before=then, compared=True), SPOKEN["en"]).replace("\u00a0", " ")

    assert told(Tally(5, range(5)), Tally(2, range(2)), Kind.COUNT) == "period before: 2, change: +3"
    assert told(1000, 3000, Kind.COUNT) == "period before: 3,000, change: \u22122,000"
    assert told(0.5, 0.304, Kind.SHARE) == "period before: 30.4%, change: +19.6 points"
    assert told(2 * MINUTE, 5 * MINUTE, Kind.DURATION) == "period before: 5 min, change: \u22123 min"
    assert told(7, 7, Kind.COUNT) == "period before: 7, change: 0"
    assert told(None, 7, Kind.COUNT) == "period before: 7"
    assert told(7, None, Kind.COUNT) == "period before: \u2014"
    assert before(Figure("k", "T", Kind.COUNT, 7), SPOKEN["en"]) == ""
    july = Period(date(2026, 7, 1), date(2026, 7, 31), PARIS)
    document = json.loads(render_json.render(comparison.compared("violations", replace(desk, period=july))))
    assert [f["change"] for f in document["figures"] if f["key"] in ("illegal", "share")] == [0, None]


def test_a_long_report_is_cut_in_a_page_and_whole_in_csv(desk: Desk) -> None:
    report = catalog.make("violations", desk)
    columns = (Column("decision", "Decision", Kind.DECISION), Column("n", "N", Kind.COUNT))
    long = replace(report, rows=Table("rows", "Rows", columns, LazyRows(30_000, lambda n: (f"d{n}", n))))
    page = render_html.render(long, SPOKEN["en"])
    assert "The first 500 of 30,000 rows." in page
    assert len(page) < 1_000_000
    assert page.count("<tr id=") == render_html.ROWS
    assert render_csv.render(long).count(b"\r\n") == 30_001


def test_an_empty_period_says_so_in_every_format(template: Path, tmp_path: Path) -> None:
    empty = Period(date(2020, 1, 1), date(2020, 1, 31), PARIS)
    with reported(template, tmp_path, empty, World((), WORLD.watermark), code="en", projects=frozenset({11})) as desk:
        for name in catalog.REPORTS:
            report = catalog.make(name, desk)
            assert report.period == "from 1 January 2020 to 31 January 2020"
            for form in FORMATS:
                if form != "pdf":
                    assert render(report, SPOKEN["en"], form)
            if name not in ("completeness", "policy", "violations"):
                assert report.notices[:1] == ["Nothing was recorded for this report in this period."], name


def test_one_tickets_life_tells_every_move_with_its_place_in_the_ledger(desk: Desk) -> None:
    report = explain(desk, 1)  # type: ignore[arg-type]
    keys = [column.key for column in report.rows.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in report.rows.rows]
    assert [row["to"] for row in rows][:4] == ["NOUVEAU", "EN COURS", "EN COURS DE TEST", "EN COURS"]
    assert [row["outcome"] for row in rows][2:4] == ["annulé", "changement fait par le pont"]
    assert rows[2]["rule"] == "a-rule"
    assert rows[2]["instead"] == "EN ATTENTE"
    assert all(isinstance(row["entry"], int) for row in rows)
    page = render_html.render(report, SPOKEN["fr"])
    assert page.index("Les changements") < page.index("Ce qui a été expliqué")


def test_one_tickets_life_says_what_was_only_observed_and_which_exemption_covers_another_rule(desk: Desk) -> None:
    report = explain(desk, 2)  # type: ignore[arg-type]
    keys = [column.key for column in report.rows.columns]
    row = dict(zip(keys, report.rows.rows[1], strict=True))
    assert row["outcome"] == "observé"
    assert str(row["reason"]).endswith(" (dérogation an-exemption)")


def test_a_ticket_that_was_never_seen_is_an_error_that_says_what_to_do(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="ticket 99 is not in the ledger"):
        explain(desk, 99)  # type: ignore[arg-type]


def test_reports_about_somebody_want_to_know_about_whom(desk: Desk) -> None:
    with pytest.raises(ConfigError, match="--person NUMBER or --project"):
        catalog.make("my-requests", replace(desk, projects=None, person=None))


@pytest.mark.parametrize("shape", list(Shape))
def test_a_chart_is_small_has_no_styles_and_skips_what_is_not_there(shape: Shape) -> None:
    chart = Chart("k", "T", shape, "L", ["a", "b", "c"], [Series("s", [1, None, 3]), Series("t", [0, 2.5, 1])])
    drawn = charts.svg(chart, SPOKEN["en"])
    assert len(drawn) < 5_000
    assert not re.search(r"<style|<script|style=|xlink|\bid=", drawn)
    assert charts.svg(replace(chart, labels=[]), SPOKEN["en"]) == ""


@pytest.mark.parametrize("shape", [Shape.COLUMNS, Shape.AREAS, Shape.LINES])
@given(numbers=st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=4))
def test_an_axis_of_counts_has_whole_numbers_up_to_the_largest(shape: Shape, numbers: list[list[int]]) -> None:
    chart = Chart("k", "T", shape, "L", ["a", "b", "c"], [Series(f"s{n}", each) for n, each in enumerate(numbers)])
    axis = [t.replace(",", "") for t in re.findall(r"<text[^>]*>([\d,]+)</text>", charts.svg(chart, SPOKEN["en"]))]
    top = max(map(sum, zip(*numbers, strict=True))) if shape is not Shape.LINES else max(map(max, numbers))
    assert 2 <= len(axis) <= charts.MOST_TICKS + 2
    assert min(map(int, axis)) == 0
    assert max(map(int, axis)) >= top


def test_texts_stay_readable_when_they_are_made_harmless() -> None:
    assert harmless("Bulletin n° 3 – « payé » 👍") == "Bulletin n° 3 – « payé » 👍"
    assert harmless("one\r\n  two\tthree") == "one two three"


@pytest.mark.paper
@pytest.mark.parametrize("name", ["violations", "time-in-status", "completeness"])
@pytest.mark.parametrize("code", ["fr", "en"])
def test_a_pdf_is_tagged_and_holds_what_the_page_says(desk: Desk, name: str, code: str, tmp_path: Path) -> None:
    report = catalog.make(name, desk)
    path = tmp_path / "report.pdf"
    path.write_bytes(render(report, SPOKEN[code], "pdf"))
    told = subprocess.run(["pdfinfo", path], check=True, capture_output=True, text=True).stdout
    assert re.search(r"Tagged: +yes", told)
    assert re.search(r"JavaScript: +no", told)
    text = subprocess.run(["pdftotext", "-raw", path, "-"], check=True, capture_output=True, text=True).stdout
    said = "".join(text.split())
    firsts = [row[0] for row in report.tables[0].rows if isinstance(row[0], str)]
    for words in (report.title, *(table.title for table in report.tables), *firsts):
        assert "".join(words.split()).casefold() in said.casefold()


def test_pdf_without_its_extra_says_how_to_get_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(ConfigError, match=r"openproject-bridge\[pdf\].*libpango"):
        render(catalog.make("reverts", desk), SPOKEN["fr"], "pdf")


def test_conventions_of_one_desk_do_not_leak_into_another(template: Path, tmp_path: Path) -> None:
    with reported(template, tmp_path, NOVEMBER, WORLD, held=replace(CEGAPE, waits_on={}, reasons=frozenset())) as desk:
        assert any("waits-on" in notice for notice in catalog.make("whose-clock", desk).notices)
        assert any("reasons" in notice for notice in catalog.make("without-reason", desk).notices)


def test_how_things_stand_is_told_with_its_age(desk: Desk) -> None:
    told = {fact.key: fact.text for fact in standing(replace(desk, language=SPOKEN["en"], now=at(24, 18)))}
    assert told["data"] == "2026-11-24 18:00, 1\u00a0h ago"
    assert told["tickets"] == "2, 0 out of sight, 0 not read"
    assert told["moves"] == "10, 2 illegal, 1 not judged"
    assert (told["cycle"], told["checkpoint"], told["open"]) == ("never", "never", "0")
