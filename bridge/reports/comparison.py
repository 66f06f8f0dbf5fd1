"""A report with the headline numbers of the period before beside its own: what has changed since the last one."""

from __future__ import annotations

from dataclasses import replace

from bridge.reports import catalog
from bridge.reports.desk import Desk
from bridge.reports.values import Report


def compared(name: str, desk: Desk) -> Report:
    """The report, each figure with its value for the period of the same kind right before."""
    report = catalog.make(name, desk)
    earlier = catalog.make(name, replace(desk, period=desk.period.before()))
    before = {figure.key: figure.value for figure in earlier.figures}
    return replace(
        report,
        figures=[replace(figure, before=before.get(figure.key), compared=True) for figure in report.figures],
    )
