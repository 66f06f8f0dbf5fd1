"""A report for a terminal, and for the text of a mail."""

from __future__ import annotations

import io
from typing import Literal

from bridge.reports.cells import NUMERIC, before, clipped, disarmed, plain, shown
from bridge.reports.language import Language
from bridge.reports.values import Cell, Column, Figure, Kind, Report, Table

ROWS = 40
"""Rows of a table that a terminal shows; beyond that nobody reads, and CSV has them all."""
NARROW = 12
"""Characters below which no text is squeezed."""
CELL = 160
"""Characters of a text that a cell shows."""


def render(report: Report, language: Language, *, width: int = 100, colour: bool = False, rows: int = ROWS) -> str:
    """The report in at most ``width`` columns, with at most ``rows`` rows a table."""
    from rich.console import Console  # noqa: PLC0415 - 50 ms that other formats need not pay
    from rich.table import Table as Grid  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    report = disarmed(report)
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=colour, color_system="auto" if colour else None, highlight=False
    )

    def line(text: str = "", style: str = "") -> None:
        console.print(Text(text, style=style))

    def show(table: Table) -> None:
        line()
        line(table.title, "bold")
        if not table.rows:
            line(table.none, "dim")
            return
        # A table under a chart counts every hour or day; a terminal has no room for those without any.
        some = [row for row in table.rows if not table.charts or any(map(plain, row[1:]))]
        columns = [(number, column) for number, column in enumerate(table.columns) if not column.minor]
        grid = Grid(box=None, header_style="bold", pad_edge=False, show_edge=False)
        cells = [[_cell(row[number], column, language) for number, column in columns] for row in some[:rows]]
        for place, (_, column) in enumerate(columns):
            longest = max((len(row[place]) for row in cells), default=0)
            least = min(longest, NARROW) if column.kind is Kind.TEXT else longest  # words wrap, numbers must not
            justify: Literal["left", "right"] = "right" if column.kind in NUMERIC else "left"
            grid.add_column(Text(column.title), justify=justify, min_width=least, overflow="fold")
        for row in cells:
            grid.add_row(*map(Text, row))
        console.print(grid)
        if len(some) > rows:
            left = len(some) - rows
            line(language.plural("… and {count} more row", "… and {count} more rows", left), "dim")
        if table.note:
            line(table.note, "dim")

    line(report.title, "bold")
    line(report.summary)
    line(report.period, "dim")
    for notice in report.notices:
        line(f"! {notice}", "yellow")
    line()
    figures = Grid(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        figures.add_column()
    figures.columns[1].justify = "right"
    for figure in report.figures:
        figures.add_row(
            Text(figure.title), Text(shown(figure.value, figure.kind, language), "bold"), _note(figure, language)
        )
    console.print(figures)
    for table in report.all_tables:
        show(table)
    line()
    line(language.text("How this was counted"), "bold")
    for fact in report.definition:
        line(f"{fact.title}{language.colon}{fact.text}")
    return "\n".join(each.rstrip() for each in file.getvalue().splitlines()) + "\n"


def headlines(report: Report, language: Language) -> str:
    """Title, period, figures and notices, without lines that a mail program would have to break."""
    report = disarmed(report)
    lines = [report.title, report.period, ""]
    lines += [f"! {notice}" for notice in report.notices]
    for figure in report.figures:
        note = _note(figure, language)
        value = shown(figure.value, figure.kind, language)
        lines.append(f"{figure.title}{language.colon}{value}{f' ({note})' if note else ''}")
    return "\n".join(lines)


def _note(figure: Figure, language: Language) -> str:
    return ", ".join(filter(None, (figure.note, before(figure, language))))


def _cell(cell: Cell, column: Column, language: Language) -> str:
    return clipped(shown(cell, column.kind, language), CELL)
