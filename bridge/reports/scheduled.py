"""When reports that come by themselves are due. Pure; bringing them is ``delivery``'s business."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from bridge.reports.period import DAY, Period


class Every(StrEnum):
    """How long the periods are."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Some reports on each day, week or month, after it has ended."""

    name: str
    every: Every
    reports: tuple[str, ...]
    at: time = time(7)
    """Local time of the day after the period, from which on it is due."""
    formats: tuple[str, ...] = ("html",)
    language: str | None = None
    """None: as the reports file says."""
    folder: str | None = None
    """Where the files go; None for nowhere."""
    mail: tuple[str, ...] = ()
    projects: frozenset[str] | None = None
    """Identifiers; None for all."""


def due(schedule: Schedule, now: datetime, last: date | None, zone: ZoneInfo) -> Period | None:
    """The period to report on now; None when nothing is due.

    ``last`` is the last day of the period that was brought before. Only the newest period that has ended is ever due.
    """
    period = ended(schedule.every, now.astimezone(zone).date(), zone)
    if now < datetime.combine(period.last + DAY, schedule.at, zone):
        period = ended(schedule.every, period.last, zone)
    return period if last is None or last < period.last else None


def ended(every: Every, today: date, zone: ZoneInfo) -> Period:
    """The last whole period before this day."""
    match every:
        case Every.DAY:
            return Period(today - DAY, today - DAY, zone)
        case Every.WEEK:
            monday = today - timedelta(days=today.weekday())
            return Period(monday - timedelta(days=7), monday - DAY, zone)
        case Every.MONTH:
            last = today.replace(day=1) - DAY
            return Period(last.replace(day=1), last, zone)


def next_time(schedule: Schedule, now: datetime, last: date | None, zone: ZoneInfo) -> datetime:
    """When it will be due next; now, where it is."""
    if due(schedule, now, last, zone) is not None:
        return now
    day = now.astimezone(zone).date()
    while True:
        moment = datetime.combine(day, schedule.at, zone)
        if moment > now and due(schedule, moment, last, zone) is not None:
            return moment
        day += DAY
