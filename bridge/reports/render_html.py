"""A report as one self-contained HTML page: no script, no other file, readable on paper, in the dark, and on a phone.

Whatever people wrote is escaped by the template, stripped of controls, and isolated from the text around it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bridge.reports import charts
from bridge.reports.cells import NUMERIC, before, clipped, disarmed, harmless, shown
from bridge.reports.language import Language
from bridge.reports.values import Cell, Column, Kind, Report, Table, Tally

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

_TYPED = re.compile("`([^`]+)`")


def render(report: Report, language: Language, *, rows: int = ROWS, paper: bool = False) -> str:
    """The whole page, with at most ``rows`` of the rows behind the numbers. ``paper`` is for where nothing unfolds."""
    template = _environment().get_template("report.html")
    css = style() + (_source("paper.css") if paper else "")
    context = _context(disarmed(report), language, rows, paper=paper)
    return template.render(**context, style=Markup(css))  # noqa: S704 - our own files


def body(report: Report, language: Language, tools: Markup) -> Markup:
    """What stands in ``main``, for a page with its own frame that links ``style()``. ``tools`` follow the title."""
    context = _context(disarmed(report), language, ROWS) | {"tools": tools}
    return Markup(_environment().get_template("body.html").render(**context))  # noqa: S704 - escaped there


@lru_cache(1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bridge.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def style() -> str:
    """The style sheet of a report."""
    return _source("report.css")


@lru_cache(2)
def _source(name: str) -> str:
    loader = _environment().loader
    assert loader is not None  # given above
    source, _, _ = loader.get_source(_environment(), name)
    return source


class _Cells:
    """Writes the cells of one page. By hand and not in the template, where 5,000 cells would take half a second."""

    def __init__(self, report: Report, language: Language, rows: int, *, folds: bool) -> None:
        self._report = report
        self._folds = folds
        self._language = language
        self._most = rows
        columns = report.rows.columns
        named = [n for kind in (Kind.DECISION, Kind.ENTRY) for n, column in enumerate(columns) if column.kind is kind]
        self._naming = named[0] if named else None

    def rows(self, table: Table, most: int, identified: bool) -> Markup:
        """The rows of a table's body; with anchors where others lead to them."""
        lines = []
        for place, row in enumerate(table.rows[:most]):
            anchor = f' id="row-{place}"' if identified else ""
            cells = "".join(self._td(cell, column) for cell, column in zip(row, table.columns, strict=True))
            lines.append(f"<tr{anchor}>{cells}</tr>")
        return Markup("\n".join(lines))  # noqa: S704 - each cell escapes what it shows

    def cell(self, cell: Cell, kind: Kind) -> Markup:
        """One value, escaped."""
        return Markup(self._cell(cell, kind))  # noqa: S704 - escaped there

    def _td(self, cell: Cell, column: Column) -> str:
        if column.kind in NUMERIC:
            css = "n"
        elif column.kind is not Kind.TEXT:
            css = "k"
        else:
            css = "long" if isinstance(cell, str) and len(cell) > LONG else "t"
        return f'<td class="{css}">{self._cell(cell, column.kind)}</td>'

    def _cell(self, cell: Cell, kind: Kind) -> str:
        text = escape(clipped(shown(cell, kind, self._language), CELL))
        if cell is None:
            return f'<span class="none">{text}</span>'
        if kind is Kind.TICKET:
            if not self._report.ticket_url:
                return f"#{text}"
            return f'<a href="{escape(self._report.ticket_url)}/work_packages/{text}">#{text}</a>'
        if isinstance(cell, Tally) and cell.rows and self._folds:
            return f"<details><summary>{text}</summary><ul>{self._behind(cell)}</ul></details>"
        return f"<bdi>{text}</bdi>" if kind is Kind.TEXT else str(text)

    def _behind(self, tally: Tally) -> str:
        """The rows behind a number, by the decisions that name them, or else their entries in the ledger."""
        lines = []
        for place in tally.rows[:BEHIND]:
            row = self._report.rows.rows[place]
            name = escape(harmless(str(row[self._naming])) if self._naming is not None else f"#{place + 1}")
            lines.append(f'<li><a href="#row-{place}">{name}</a></li>' if place < self._most else f"<li>{name}</li>")
        if len(tally.rows) > BEHIND:
            more = self._language.plural("and {count} more", "and {count} more", len(tally.rows) - BEHIND)
            lines.append(f"<li>{escape(more)}</li>")
        return "".join(lines)


def _context(report: Report, language: Language, rows: int, *, paper: bool = False) -> dict[str, object]:
    text = language.text
    cells = _Cells(report, language, rows, folds=not paper)
    return {
        "report": report,
        "text": text,
        "policy": next((fact.text for fact in report.definition if fact.key == "policy"), ""),
        "cell": cells.cell,
        "rows": cells.rows,
        "value": lambda value, kind: charts.value_text(value, kind, language),
        "drawn": lambda chart: Markup(charts.svg(chart, language)),  # noqa: S704 - ElementTree escapes
        "numeric": NUMERIC,
        "colour": charts.colour_of,
        "most_rows": rows,
        "most_groups": min(GROUPS, rows),
        "cut": lambda shown, whole: text(
            "The first {shown} of {whole} rows. The CSV, XLSX and JSON forms of this report hold all of them.",
            shown=language.number(shown),
            whole=language.number(whole),
        ),
        "before": lambda figure: before(figure, language),
        "marked": _marked,
        "tools": "",
        "made": text("Made from the ledger on {time} ({zone}).", time=language.time(report.made_at), zone=report.zone),
    }


def _marked(text: str) -> Markup:
    """A sentence in which `this` is something to type."""
    return Markup(_TYPED.sub(r"<code>\1</code>", escape(text)))  # noqa: S704 - escaped before
