"""A report as one self-contained HTML page: no script, no other file, readable on paper, in the dark, and on a phone.

Whatever people wrote is escaped by the template, stripped of controls, and isolated from the text around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bridge.reports import charts
from bridge.reports.cells import NUMERIC, clipped, shown
from bridge.reports.language import Language
from bridge.reports.values import Cell, Column, Figure, Kind, Report, Tally

ROWS = 500
"""Rows behind the numbers that the page shows: 250 KB. CSV, XLSX and JSON hold all."""
GROUPS = 100
"""Rows of any other table."""
BEHIND = 12
"""Rows that a number lists when it is opened."""
CELL = 400
"""Characters of a text that a cell shows."""
LONG = 40
"""From so many characters on a text gets a column wide enough to be read."""


def render(report: Report, language: Language, *, rows: int = ROWS) -> str:
    """The whole page, with at most ``rows`` of the rows behind the numbers."""
    template = _environment().get_template("report.html")
    return template.render(**_context(report, language, rows), style=Markup(style()))  # noqa: S704 - our own file


def body(report: Report, language: Language) -> Markup:
    """What stands in ``main``, for a page that brings its own frame and links ``style()``."""
    return Markup(_environment().get_template("body.html").render(**_context(report, language, ROWS)))  # noqa: S704 - escaped there


@lru_cache(1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bridge.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.tests["tally"] = lambda value: isinstance(value, Tally)
    return environment


def style() -> str:
    """The style sheet of a report."""
    loader = _environment().loader
    assert loader is not None  # given above
    source, _, _ = loader.get_source(_environment(), "report.css")
    return source


@dataclass(frozen=True, slots=True)
class _Target:
    """A row that a number leads to: the decision's id, and its anchor where the page shows the row."""

    name: str
    id: str
    there: bool


def _context(report: Report, language: Language, rows: int) -> dict[str, object]:
    text = language.text
    naming = next((index for index, column in enumerate(report.rows.columns) if column.kind is Kind.DECISION), None)

    def behind(tally: Tally) -> Iterator[_Target]:
        for position in tally.rows[:BEHIND]:
            row = report.rows.rows[position]
            name = str(row[naming]) if naming is not None else f"#{position + 1}"
            yield _Target(name, f"row-{position}", position < rows)

    def css(value: Cell, column: Column) -> Markup:
        if column.kind in NUMERIC:
            return Markup(' class="n"')
        if column.kind is not Kind.TEXT:
            return Markup(' class="k"')
        return Markup(' class="long"') if isinstance(value, str) and len(value) > LONG else Markup(' class="t"')

    return {
        "report": report,
        "text": text,
        "policy": next((fact.text for fact in report.definition if fact.key == "policy"), ""),
        "shown": lambda cell, kind: shown(cell, kind, language),
        "clip": lambda text: clipped(text, CELL),
        "value": lambda value, kind: charts.value_text(value, kind, language),
        "drawn": lambda chart: Markup(charts.svg(chart, language)),  # noqa: S704 - ElementTree escapes
        "behind": behind,
        "css": css,
        "numeric": NUMERIC,
        "colours": len(charts.COLOURS),
        "most_behind": BEHIND,
        "most_rows": rows,
        "most_groups": min(GROUPS, rows),
        "more": lambda count: language.plural("and {count} more", "and {count} more", count),
        "cut": lambda shown, whole: text(
            "The first {shown} of {whole} rows. The CSV, XLSX and JSON forms of this report hold all of them.",
            shown=language.number(shown),
            whole=language.number(whole),
        ),
        "before": lambda figure: before(figure, language),
        "made": text("Made from the ledger on {time} ({zone}).", time=language.time(report.made_at), zone=report.zone),
    }


def before(figure: Figure, language: Language) -> str:
    """The same figure for the period before."""
    return language.text("period before: {value}", value=shown(figure.before, figure.kind, language))
