"""A report as JSON, in a form that is published as a schema (``bridge report schema``) and only ever grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TypedDict

import orjson

from bridge.reports.values import Cell, Column, Report, Table, Tally

VERSION = 1


class CountedValue(TypedDict):
    """A count, and the positions of the counted rows in ``rows.rows``."""

    count: int
    rows: list[int]


Value = str | int | float | CountedValue | None
"""Times as ISO 8601 in UTC, durations in seconds, shares from 0 to 1; null is "there is none"."""


class ColumnDocument(TypedDict):
    """``key`` never changes; ``title`` is in the report's language."""

    key: str
    title: str
    kind: str


class TableDocument(TypedDict):
    """Rows of values in the order of the columns."""

    key: str
    title: str
    note: str
    columns: list[ColumnDocument]
    rows: list[list[Value]]


class FigureDocument(TypedDict):
    """A headline number; ``before`` is that of the period before, null where it was not asked for."""

    key: str
    title: str
    kind: str
    value: Value
    note: str
    before: Value


class FactDocument(TypedDict):
    """A line of the definition."""

    key: str
    title: str
    text: str


class PeriodDocument(TypedDict):
    """Both days included, in this time zone."""

    first: str
    last: str
    zone: str


class ReportDocument(TypedDict):
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
    return {
        "version": VERSION,
        "report": report.name,
        "title": report.title,
        "summary": report.summary,
        "language": report.language,
        "period": {"first": report.first.isoformat(), "last": report.last.isoformat(), "zone": report.zone},
        "made_at": report.made_at.isoformat(),
        "notices": list(report.notices),
        "definition": [{"key": fact.key, "title": fact.title, "text": fact.text} for fact in report.definition],
        "figures": [
            {
                "key": figure.key,
                "title": figure.title,
                "kind": figure.kind.value,
                "value": _value(figure.value),
                "note": figure.note,
                "before": _value(figure.before),
            }
            for figure in report.figures
        ],
        "tables": [_table(table) for table in report.tables],
        "rows": _table(report.rows),
    }


def render(report: Report) -> bytes:
    """The report as UTF-8."""
    return orjson.dumps(document(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def schema() -> Mapping[str, object]:
    """The JSON Schema of every report."""
    from pydantic import TypeAdapter  # noqa: PLC0415 - only this needs it

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TypeAdapter(ReportDocument).json_schema()}


def _table(table: Table) -> TableDocument:
    return {
        "key": table.key,
        "title": table.title,
        "note": table.note,
        "columns": [_column(column) for column in table.columns],
        "rows": [_row(row) for row in table.rows],
    }


def _column(column: Column) -> ColumnDocument:
    return {"key": column.key, "title": column.title, "kind": column.kind.value}


def _row(row: Sequence[Cell]) -> list[Value]:
    return [_value(cell) for cell in row]


def _value(cell: Cell) -> Value:
    match cell:
        case Tally(total, rows):
            return {"count": total, "rows": list(rows)}
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
