"""The span of time that a report is about: whole days of the reports' time zone, named or given by their ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bridge.errors import ConfigError

DAY = timedelta(days=1)
YEARS = range(1971, 2999)
"""Beyond lie the ends of what can be counted; no ticket is from there."""
NAMES = ("today", "yesterday", "this-week", "last-week", "this-month", "last-month", "this-year", "last-year")
_FORMS = (
    "a day (2026-11-24), a week (2026-W47), a month (2026-11), a year (2026), "
    "a first and a last day (2026-11-02_2026-11-20), or one of " + ", ".join(NAMES)
)


@dataclass(frozen=True, slots=True)
class Period:
    """From the first day's beginning to the last day's end, by the clock of ``zone``."""

    first: date
    last: date
    """Included."""
    zone: ZoneInfo

    @property
    def since(self) -> datetime:
        """The first moment in it, in UTC."""
        return beginning(self.first, self.zone)

    @property
    def until(self) -> datetime:
        """The first moment after it, in UTC."""
        return beginning(self.last + DAY, self.zone)

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1

    def before(self) -> Period:
        """The period of the same kind right before: the month before a month, else as many days."""
        if self.first.day == 1 and (self.last + DAY).day == 1:
            months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
            return Period(_month(self.first, -months), self.first - DAY, self.zone)
        return Period(self.first - timedelta(days=self.days), self.first - DAY, self.zone)

    def __str__(self) -> str:
        """For file names: ``2026-11-24``, ``2026-11`` or ``2026-11-02_2026-11-20``."""
        if self.first == self.last:
            return self.first.isoformat()
        if self.first.day == 1 and _month(self.first, 1) - DAY == self.last:
            return f"{self.first:%Y-%m}"
        return f"{self.first}_{self.last}"


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day, in UTC. Where midnight does not exist, the first moment that does."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def named(text: str, today: date, zone: ZoneInfo) -> Period:
    """A period by its name. Raises ConfigError saying which names there are."""
    week, month = today - timedelta(days=today.weekday()), today.replace(day=1)
    known = {
        "today": (today, today),
        "yesterday": (today - DAY, today - DAY),
        "this-week": (week, week + timedelta(days=6)),
        "last-week": (week - timedelta(days=7), week - DAY),
        "this-month": (month, _month(month, 1) - DAY),
        "last-month": (_month(month, -1), month - DAY),
        "this-year": (date(today.year, 1, 1), date(today.year, 12, 31)),
        "last-year": (date(today.year - 1, 1, 1), date(today.year - 1, 12, 31)),
    }
    try:
        first, last = known[text] if text in known else _spelt(text)
        if first.year not in YEARS or last.year not in YEARS:
            raise ValueError(text)
    except ValueError:
        raise ConfigError(f"the period {text!r} is none that is known: write {_FORMS}") from None
    return Period(first, last, zone)


def _spelt(text: str) -> tuple[date, date]:
    if match := re.fullmatch(r"(\d{4})-W(\d{2})", text):
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
        return monday, monday + timedelta(days=6)
    if re.fullmatch(r"\d{4}-\d{2}", text):
        first = date.fromisoformat(f"{text}-01")
        return first, _month(first, 1) - DAY
    if re.fullmatch(r"\d{4}", text):
        return date(int(text), 1, 1), date(int(text), 12, 31)
    if match := re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:_(\d{4}-\d{2}-\d{2}))?", text):
        first, last = date.fromisoformat(match[1]), date.fromisoformat(match[2] or match[1])
        if first <= last:
            return first, last
    raise ValueError(text)


def between(first: str | None, last: str | None, today: date, zone: ZoneInfo, *, default_days: int = 30) -> Period:
    """A period by its first and last day, each included; by default the last 30 days. Raises ConfigError."""
    try:
        end = date.fromisoformat(last) if last else today
        begin = date.fromisoformat(first) if first else end - timedelta(days=default_days - 1)
    except ValueError:
        raise ConfigError(f"{last if first is None else first!r} is no date: write it like 2026-11-24") from None
    if begin.year not in YEARS or end.year not in YEARS:
        raise ConfigError(f"the period from {begin} to {end} is out of all time: OpenProject is younger")
    if end < begin:
        raise ConfigError(f"the period ends on {end}, before it begins on {begin}")
    return Period(begin, end, zone)


def _month(day: date, step: int) -> date:
    """The first day of the month so many months away."""
    months = day.year * 12 + day.month - 1 + step
    return date(months // 12, months % 12 + 1, 1)
