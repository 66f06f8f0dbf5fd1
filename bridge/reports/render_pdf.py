"""A report on paper: the HTML page through WeasyPrint (extra ``pdf``), tagged for screen readers (PDF/UA-1).

Long tables cost WeasyPrint 12 ms a row, so a PDF holds headlines, charts, and the columns that matter most of
the first rows.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from bridge.errors import ConfigError
from bridge.reports import render_html
from bridge.reports.language import Language
from bridge.reports.values import LazyRows, Report, Table

ROWS = 60
"""Rows of a table: one or two pages."""


def render(report: Report, language: Language) -> bytes:
    """The document. Raises ConfigError where the extra is not installed."""
    try:
        weasyprint = import_module("weasyprint")
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"PDF needs the extra 'pdf' ({error}): pip install 'openproject-bridge[pdf]', "
            "and on Debian apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
        ) from None
    narrow = replace(report, tables=[_narrow(table) for table in report.tables], rows=_narrow(report.rows))
    page = render_html.render(narrow, language, rows=ROWS, paper=True)
    document = weasyprint.HTML(string=page, url_fetcher=_nothing)
    pdf: bytes = document.write_pdf(pdf_variant="pdf/ua-1")
    return pdf


def _narrow(table: Table) -> Table:
    """Without the columns that matter less: a sheet of paper does not scroll."""
    kept = [place for place, column in enumerate(table.columns) if not column.minor]
    rows = LazyRows(len(table.rows), lambda number: [table.rows[number][place] for place in kept])
    return replace(table, columns=[table.columns[place] for place in kept], rows=rows)


def _nothing(url: str, *_: object, **__: object) -> dict[str, object]:
    raise ValueError(f"a report is one page and fetches nothing: {url}")
