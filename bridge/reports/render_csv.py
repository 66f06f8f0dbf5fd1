"""One table of a report as CSV that a spreadsheet opens without being asked, and that no cell can act in."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, timedelta

from bridge.errors import ConfigError
from bridge.reports.cells import disarmed, harmless, plain
from bridge.reports.values import Cell, Kind, Report, Table

DELIMITERS = {"fr": ";", "en": ","}
"""A French spreadsheet reads the comma as a decimal sign and so separates by semicolons."""
DECIMALS = {"fr": ",", "en": "."}

_FORMULA = ("=", "+", "-", "@")


def render(report: Report, table: str = "") -> bytes:
    """The rows behind the numbers, or another table by its key. Raises ConfigError for one that there is not.

    Times are ISO 8601 with their offset, durations whole seconds, shares numbers from 0 to 1 with the decimal sign
    of the language. UTF-8 with the mark that makes spreadsheets read it as such.
    """
    report = disarmed(report)
    chosen = _table(report, table)
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=DELIMITERS[report.language], lineterminator="\r\n")
    writer.writerow([inert(_title(column.title, column.kind)) for column in chosen.columns])
    for row in chosen.rows:
        writer.writerow([_cell(cell, DECIMALS[report.language]) for cell in row])
    return file.getvalue().encode("utf-8-sig")


def _table(report: Report, key: str) -> Table:
    if not key:
        return report.rows
    for table in report.all_tables:
        if table.key == key:
            return table
    known = ", ".join(table.key for table in report.all_tables)
    raise ConfigError(f"the report {report.name} has no table {key!r}: it has {known}")


def _title(title: str, kind: Kind) -> str:
    return f"{title} (s)" if kind in (Kind.DURATION, Kind.WORKTIME) else title


def _cell(cell: Cell, decimal: str) -> str | int:
    match plain(cell):
        case None:
            return ""
        case datetime() as at:
            return at.isoformat()
        case date() as day:
            return day.isoformat()
        case timedelta() as span:
            return int(span.total_seconds())
        case str() as text:
            return inert(text)
        case float() as number:
            return str(number).replace(".", decimal)
        case number:
            return number


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula (OWASP, CSV injection): marked as text by an apostrophe."""
    text = harmless(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
