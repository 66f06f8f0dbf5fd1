"""A report as a workbook: a sheet of headlines, one for each table, real dates and durations, filters on every table.

Texts are written as texts: nothing in a cell becomes a formula or a link that the report did not make.
"""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bridge.reports.cells import before, clipped, disarmed, harmless, plain
from bridge.reports.language import Language
from bridge.reports.values import Cell, Kind, Report, Table

MOST_TEXT = 32_767
"""Characters that a cell holds."""
MOST_LINKS = 5_000
"""Links on a sheet, each of which stays in memory; more tickets are plain numbers."""
MOST_ROWS = 1_048_575
"""Rows below the header that a sheet holds."""
WIDEST = 48

_FORMATS = {
    Kind.SHARE: "0.0%",
    Kind.DURATION: "[h]:mm:ss",
    Kind.WORKTIME: "[h]:mm:ss",
    Kind.COUNT: "#,##0",
    Kind.NUMBER: "#,##0.0",
}


_DATES = {"fr": "dd/mm/yyyy", "en": "yyyy-mm-dd"}
"""As ``Language`` writes them."""

_WIDTHS = {Kind.TIME: 17, Kind.DATE: 12, Kind.SHARE: 10, Kind.DURATION: 12, Kind.WORKTIME: 12}


def render(report: Report, language: Language) -> bytes:
    """The workbook. Times are those of the report's zone, since a sheet knows none."""
    import xlsxwriter  # noqa: PLC0415 - 80 ms that other formats need not pay

    file = io.BytesIO()
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "nan_inf_to_errors": True,
        "default_date_format": _DATES[report.language],
    }
    with xlsxwriter.Workbook(file, options) as book:
        book.set_properties({"title": harmless(report.title), "comments": harmless(report.summary)})
        report = disarmed(report)
        writer = _Writer(book, report, language)
        writer.headlines()
        for table in report.all_tables:
            writer.table(table)
    return file.getvalue()


class _Writer:
    """Formats belong to one workbook, so what writes cells holds both."""

    def __init__(self, book: Any, report: Report, language: Language) -> None:
        self._book = book
        self._report = report
        self._language = language
        self._zone = ZoneInfo(report.zone)
        self._plain = book.add_format({"valign": "top"})
        self._wrapped = book.add_format({"valign": "top", "text_wrap": True})
        self._bold = book.add_format({"bold": True, "valign": "top"})
        self._title = book.add_format({"bold": True, "font_size": 15})
        self._head = book.add_format({"bold": True, "bottom": 1, "bg_color": "#F0F3F6", "valign": "top"})
        self._link = book.add_format({"font_color": "#175A8E", "underline": 1, "valign": "top", "align": "left"})
        day = _DATES[report.language]
        formats = _FORMATS | {Kind.DATE: day, Kind.TIME: f"{day} hh:mm"}
        self._formats = {
            kind: book.add_format({"num_format": number, "valign": "top"}) for kind, number in formats.items()
        }
        self._names: set[str] = set()

    def headlines(self) -> None:
        """Title, figures and definition."""
        report, language = self._report, self._language
        sheet = self._sheet(language.text("Summary"))
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 1, 18)
        sheet.set_column(2, 2, 100)
        lines: list[tuple[str, Any]] = [(report.title, self._title), (report.summary, self._plain)]
        lines += [(report.period, self._plain), *((notice, self._bold) for notice in report.notices)]
        row = 0
        for text, style in lines:
            sheet.write_string(row, 0, text, style)
            row += 1
        row += 1
        for figure in report.figures:
            sheet.write_string(row, 0, figure.title, self._bold)
            self._cell(sheet, row, 1, figure.value, figure.kind, linked=False)
            notes = [figure.note, before(figure, language)]
            sheet.write_string(row, 2, language.semicolon.join(filter(None, notes)), self._plain)
            row += 1
        row += 1
        for fact in report.definition:
            sheet.write_string(row, 0, fact.title, self._bold)
            sheet.write_string(row, 2, fact.text, self._wrapped)
            row += 1

    def table(self, table: Table) -> None:
        """One table on a sheet of its own."""
        sheet = self._sheet(table.title)
        rows = table.rows[:MOST_ROWS]
        for number in range(len(table.columns)):
            sheet.set_column(number, number, _width(table, number))
        sheet.freeze_panes(1, 0)
        for number, column in enumerate(table.columns):
            sheet.write_string(0, number, column.title, self._head)
        sheet.autofilter(0, 0, max(len(rows), 1), len(table.columns) - 1)
        linked = bool(self._report.ticket_url) and len(rows) <= MOST_LINKS
        for row, cells in enumerate(rows, 1):
            for number, (cell, column) in enumerate(zip(cells, table.columns, strict=True)):
                self._cell(sheet, row, number, cell, column.kind, linked=linked)

    def _sheet(self, title: str) -> Any:
        """A sheet by a name that no other has, of the characters and length that are allowed."""
        base = clipped("".join(" " if c in "[]:*?/\\'" else c for c in title).strip() or "-", 28)
        name, number = base, 2
        while name.casefold() in self._names:
            name, number = f"{base[:26]} {number}", number + 1
        self._names.add(name.casefold())
        return self._book.add_worksheet(name)

    def _cell(self, sheet: Any, row: int, number: int, cell: Cell, kind: Kind, *, linked: bool) -> None:
        style = self._formats.get(kind, self._plain)
        match plain(cell):
            case None:
                sheet.write_blank(row, number, None, self._plain)
            case datetime() as at:
                sheet.write_datetime(row, number, at.astimezone(self._zone).replace(tzinfo=None, microsecond=0), style)
            case date() as day:
                sheet.write_datetime(row, number, datetime(day.year, day.month, day.day), style)  # noqa: DTZ001 - a day
            case timedelta() as span:
                sheet.write_number(row, number, span / timedelta(days=1), style)
            case str() as text:
                sheet.write_string(row, number, clipped(harmless(text), MOST_TEXT), self._plain)
            case int() as ticket if kind is Kind.TICKET and linked:
                sheet.write_url(
                    row, number, f"{self._report.ticket_url}/work_packages/{ticket}", self._link, str(ticket)
                )
            case value:
                sheet.write_number(row, number, value, style)


def _width(table: Table, number: int) -> float:
    """Wide enough for what the first rows hold."""
    column = table.columns[number]
    if column.kind in _WIDTHS:
        return max(_WIDTHS[column.kind], len(column.title) + 3)
    lengths = (len(str(plain(row[number]))) for row in table.rows[:50])
    return min(WIDEST, 3 + max(len(column.title), *lengths, 0))
