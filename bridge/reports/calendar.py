"""Business hours: how much of a span of time the desk was open. Exact across daylight saving and holidays."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bridge.errors import ConfigError

EPOCH_DAY = date(1970, 1, 1)
_DAY = timedelta(days=1)
_SECOND = 1_000_000
MARGIN = 366
"""Days by which the table of opening times is extended at once."""


@dataclass(frozen=True, slots=True)
class Span:
    """Open from ``start`` until ``end`` on the local clock; ``end`` may be midnight, written ``None``."""

    start: time
    end: time | None


@dataclass(frozen=True, slots=True)
class Holidays:
    """Which public holidays the desk keeps, and which days besides."""

    country: str = ""
    region: str = ""
    besides: frozenset[date] = frozenset()

    def test(self) -> Callable[[date], bool]:
        """Says of a day whether it is one. Raises ConfigError for a country or region that is not known."""
        if not self.country:
            return self.besides.__contains__
        import holidays  # noqa: PLC0415 - a quarter of a second that only business hours need

        try:
            public = holidays.country_holidays(self.country, subdiv=self.region or None)
        except NotImplementedError:
            raise ConfigError(
                f"no public holidays are known for {self.country} {self.region}".rstrip()
                + ": write an ISO 3166 code such as FR, and a region of that country such as 57"
            ) from None
        return lambda day: day in public or day in self.besides


@dataclass(frozen=True, slots=True)
class Hours:
    """When the desk is open: by weekday (Monday first), local to ``zone``, except on holidays."""

    zone: ZoneInfo
    week: tuple[Sequence[Span], ...]
    holidays: Holidays = field(default_factory=Holidays)


class BusinessClock:
    """Measures spans in business hours. Keeps a table of opening times that grows with what it is asked."""

    def __init__(self, hours: Hours) -> None:
        """Raises ConfigError for holidays that are not known."""
        self._hours = hours
        self._is_holiday = hours.holidays.test()
        self._first = self._last = EPOCH_DAY
        """The days that the table covers; ``_last`` is not included."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []
        """Open microseconds before each opening."""
        self._reach = (1, 0)

    def open_time(self, since: int, until: int) -> int:
        """Open microseconds between two moments, each in microseconds since the epoch. 0 when they are reversed."""
        if until <= since:
            return 0
        if since < self._reach[0] or until > self._reach[1]:
            self._extend(since, until)
        return self._position(until) - self._position(since)

    def _position(self, at: int) -> int:
        """What ``positions`` tells, of one moment within the table's reach."""
        place = bisect_right(self._starts, at) - 1
        return self._before[place] + min(at, self._ends[place]) - self._starts[place] if place >= 0 else 0

    def positions(self, moments: Sequence[int]) -> array[int]:
        """How far the clock has run at each of these moments, in open microseconds since some beginning.

        What lies between two of them is the difference: for 100,000 spans that is half the work.
        """
        if not moments:
            return array("q")
        least, most = min(moments), max(moments)
        if least < self._reach[0] or most > self._reach[1]:
            self._extend(least, most)
        starts, ends, before = self._starts, self._ends, self._before
        places = [bisect_right(starts, at) - 1 for at in moments]
        return array(
            "q",
            [
                before[place] + (at if at < ends[place] else ends[place]) - starts[place] if place >= 0 else 0
                for at, place in zip(moments, places, strict=True)
            ],
        )

    def _extend(self, since: int, until: int) -> None:
        """Make the table cover these moments."""
        first, last = (EPOCH_DAY + timedelta(microseconds=at) for at in (since, until))
        known = self._first < self._last
        self._first = min(self._first, first - _DAY * MARGIN) if known else first - _DAY * MARGIN
        self._last = max(self._last, last + _DAY * MARGIN) if known else last + _DAY * MARGIN
        self._starts.clear()
        self._ends.clear()
        self._before.clear()
        total = 0
        day = self._first
        while day < self._last:
            for span in () if self._is_holiday(day) else self._hours.week[day.weekday()]:
                start, end = self._moment(day, span.start), self._moment(day, span.end)
                if start < end:  # nothing is left of a span that daylight saving skips
                    self._starts.append(start)
                    self._ends.append(end)
                    self._before.append(total)
                    total += end - start
            day += _DAY
        # A day's margin: the days are local, the moments are not.
        self._reach = (self._moment(self._first + _DAY, time()), self._moment(self._last - _DAY, time()))

    def _moment(self, day: date, at: time | None) -> int:
        """In microseconds. Of a time that comes twice the first; one that is skipped as if the clock went on."""
        local = datetime.combine(day, at, self._hours.zone) if at is not None else self._midnight(day)
        return round(local.timestamp()) * _SECOND

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day + _DAY, time(), self._hours.zone)
