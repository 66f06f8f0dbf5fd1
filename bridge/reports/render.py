"""A report in any of its formats, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.errors import ConfigError
from bridge.reports.language import Language
from bridge.reports.values import Report

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "text": "text/plain; charset=utf-8",
        "html": "text/html; charset=utf-8",
        "csv": "text/csv; charset=utf-8",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "json": "application/json",
        "pdf": "application/pdf",
    }
)
"""Names and media types. The names are file name extensions too, but for ``text``, which is ``txt``."""


def render(report: Report, language: Language, form: str, *, table: str = "") -> bytes:
    """The report in this format. ``table`` chooses the one that a CSV holds. Raises ConfigError for an unknown one."""
    # Each format imports what it needs, which the others need not pay for.
    from bridge.reports import render_csv, render_html, render_json, render_pdf, render_text, render_xlsx  # noqa: PLC0415

    match form:
        case "text":
            return render_text.render(report, language).encode()
        case "html":
            return render_html.render(report, language).encode()
        case "csv":
            return render_csv.render(report, table)
        case "xlsx":
            return render_xlsx.render(report, language)
        case "json":
            return render_json.render(report)
        case "pdf":
            return render_pdf.render(report, language)
        case _:
            raise ConfigError(f"there is no format {form!r}: there are {', '.join(FORMATS)}")


def file_name(report: Report, form: str, period: object) -> str:
    """What to call it: ``violations-2026-11.fr.html``."""
    return f"{report.name}-{period}.{report.language}.{'txt' if form == 'text' else form}"
