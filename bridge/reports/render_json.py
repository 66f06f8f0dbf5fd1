"""A report as JSON, in a form that is published as a schema (``bridge report schema``) and only ever grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import orjson

from bridge.reports.cells import change, disarmed
from bridge.reports.values import Cell, Report, Table, Tally

VERSION = 1


@dataclass(frozen=True, slots=True)
class CountedValue:
    """A count, and the positions of the counted rows in ``rows.rows``.

    Of different people or tickets, one row each; of a sum, the rows that say its parts.
    """

    count: int
    rows: list[int]


Value = str | int | float | CountedValue | None
"""Times as ISO 8601 in UTC, durations in seconds, shares from 0 to 1; null is "there is none"."""


@dataclass(frozen=True, slots=True)
class ColumnDocument:
    """``key`` never changes; ``title`` is in the report's language."""

    key: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class TableDocument:
    """Rows of values in the order of the columns."""

    key: str
    title: str
    note: str
    columns: list[ColumnDocument]
    rows: list[list[Value]]


@dataclass(frozen=True, slots=True)
class FigureDocument:
    """A headline number; ``before`` is that of the period before, ``change`` the difference in the same unit.

    Both are null where they were not asked for; ``change`` also where one of the two is none, or no amount.
    """

    key: str
    title: str
    kind: str
    value: Value
    note: str
    before: Value
    change: Value


@dataclass(frozen=True, slots=True)
class FactDocument:
    """A line of the definition."""

    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class PeriodDocument:
    """Both days included, in this time zone."""

    first: str
    last: str
    zone: str


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """A report."""

    version: int
    report: str
    title: str
    summary: str
    language: str
    period: PeriodDocument
    made_at: str
    notices: list[str]
    definition: list[FactDocument]
    figures: list[FigureDocument]
    tables: list[TableDocument]
    rows: TableDocument


def document(report: Report) -> ReportDocument:
    """The report as what JSON can hold."""
    return ReportDocument(
        version=VERSION,
        report=report.name,
        title=report.title,
        summary=report.summary,
        language=report.language,
        period=PeriodDocument(report.first.isoformat(), report.last.isoformat(), report.zone),
        made_at=report.made_at.isoformat(),
        notices=list(report.notices),
        definition=[FactDocument(fact.key, fact.title, fact.text) for fact in report.definition],
        figures=[
            FigureDocument(f.key, f.title, f.kind.value, _value(f.value), f.note, _value(f.before), _value(change(f)))
            for f in report.figures
        ],
        tables=[_table(table) for table in report.tables],
        rows=_table(report.rows),
    )


def render(report: Report) -> bytes:
    """The report as UTF-8."""
    return orjson.dumps(document(disarmed(report)), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def schema() -> Mapping[str, object]:
    """The JSON Schema of every report."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - only this needs it

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TypeAdapter(ReportDocument).json_schema()}


def _table(table: Table) -> TableDocument:
    columns = [ColumnDocument(column.key, column.title, column.kind.value) for column in table.columns]
    return TableDocument(table.key, table.title, table.note, columns, [_row(row) for row in table.rows])


def _row(row: Sequence[Cell]) -> list[Value]:
    return [_value(cell) for cell in row]


def _value(cell: Cell) -> Value:
    match cell:
        case Tally(total, rows):
            return CountedValue(total, list(rows))
        case datetime():
            return cell.isoformat()
        case date():
            return cell.isoformat()
        case timedelta():
            return cell.total_seconds()
        case str():
            return cell.encode("utf-8", "replace").decode()  # lone surrogates are no UTF-8
        case _:
            return cell
