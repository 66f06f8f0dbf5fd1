"""A report on paper: the HTML page through WeasyPrint (extra ``pdf``), tagged for screen readers (PDF/UA-1).

Long tables cost WeasyPrint 12 ms a row, so a PDF holds headlines, charts and the first rows.
"""

from __future__ import annotations

from importlib import import_module

from bridge.errors import ConfigError
from bridge.reports import render_html
from bridge.reports.language import Language
from bridge.reports.values import Report

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
    page = render_html.render(report, language, rows=ROWS)
    document = weasyprint.HTML(string=page, url_fetcher=_nothing)
    pdf: bytes = document.write_pdf(pdf_variant="pdf/ua-1")
    return pdf


def _nothing(url: str, *_: object, **__: object) -> dict[str, object]:
    raise ValueError(f"a report is one page and fetches nothing: {url}")
