"""Values as texts, for every format that people read, and texts that cannot act on whoever opens them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, timedelta

from bridge.reports.language import Language
from bridge.reports.values import Cell, Chart, Figure, Kind, Report, Table, Tally

NONE = "\N{EM DASH}"
"""What stands where there is no value."""

MINUS = "\N{MINUS SIGN}"

# Control characters are in no font and no XML; line and paragraph separators and the bidirectional controls make a
# text show as another than it is (Unicode TR 36). Isolates stay out too: a cell is isolated as a whole.
_HARMFUL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\N{ARABIC LETTER MARK}\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}"
    "\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_BREAKS = re.compile(r"\s*[\r\n\t]+\s*")


def harmless(text: str) -> str:
    """A text on one line, without characters that act instead of showing."""
    return _HARMFUL.sub("", _BREAKS.sub(" ", text))


def disarmed(report: Report) -> Report:
    """The report with every text around its cells made harmless. Cells are, where each format writes them."""

    def table(each: Table) -> Table:
        columns = [replace(column, title=harmless(column.title)) for column in each.columns]
        return replace(
            each,
            title=harmless(each.title),
            note=harmless(each.note),
            none=harmless(each.none),
            columns=columns,
            charts=[chart(one) for one in each.charts],
        )

    def chart(each: Chart) -> Chart:
        return replace(
            each,
            title=harmless(each.title),
            label_title=harmless(each.label_title),
            labels=[harmless(label) for label in each.labels],
            series=[replace(series, name=harmless(series.name)) for series in each.series],
        )

    return replace(
        report,
        title=harmless(report.title),
        summary=harmless(report.summary),
        period=harmless(report.period),
        notices=[harmless(notice) for notice in report.notices],
        figures=[replace(f, title=harmless(f.title), note=harmless(f.note)) for f in report.figures],
        tables=[table(each) for each in report.tables],
        rows=table(report.rows),
        definition=[replace(fact, title=harmless(fact.title), text=harmless(fact.text)) for fact in report.definition],
    )


def clipped(text: str, most: int) -> str:
    """At most so many characters, the last an ellipsis where some were left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def plain(cell: Cell) -> str | int | float | date | datetime | timedelta | None:
    """A value without its rows."""
    return cell.total if isinstance(cell, Tally) else cell


def shown(cell: Cell, kind: Kind, language: Language) -> str:
    """A value as people read it."""
    match plain(cell):
        case None:
            return NONE
        case timedelta() as span:
            return language.worktime(span) if kind is Kind.WORKTIME else language.duration(span)
        case datetime() as at:
            return language.time(at)
        case date() as day:
            return language.date(day)
        case str() as text:
            return harmless(text)
        case int() as number if kind in (Kind.TICKET, Kind.ENTRY):
            return str(number)
        case number:
            return language.share(number) if kind is Kind.SHARE else language.number(number)


def change(figure: Figure) -> int | float | timedelta | None:
    """By how much a figure differs from the period before; None where one of the two is none, or no amount."""
    match plain(figure.value), plain(figure.before):
        case timedelta() as now, timedelta() as then:
            return now - then
        case (int() | float()) as now, (int() | float()) as then:
            return now - then
        case _:
            return None


def before(figure: Figure, language: Language) -> str:
    """What the figure was in the period before, and the change since; empty where nobody asked."""
    if not figure.compared:
        return ""
    was, by = shown(figure.before, figure.kind, language), change(figure)
    if by is None:
        return language.text("period before: {value}", value=was)
    return language.text(
        "period before: {value}, change: {change}", value=was, change=_signed(by, figure.kind, language)
    )


def _signed(by: float | timedelta, kind: Kind, language: Language) -> str:
    if isinstance(by, timedelta):
        amount, positive = shown(abs(by), kind, language), by > timedelta(0)
    elif kind is Kind.SHARE:
        amount, positive = language.text("{points} points", points=language.number(abs(by) * 100)), by > 0
    else:
        amount, positive = shown(abs(by), kind, language), by > 0
    return f"{'+' if positive else MINUS}{amount}" if by else amount


NUMERIC = frozenset({Kind.COUNT, Kind.NUMBER, Kind.SHARE, Kind.DURATION, Kind.WORKTIME, Kind.ENTRY})
"""Kinds whose columns are aligned by their last digit."""
