"""The time a simulated server lives by: it stands still until somebody moves it, so that every run is the same run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Now = Callable[[], datetime]
"""Gives the present moment, aware and in UTC, to the microsecond."""


class Clock:
    """A clock that only moves when told. Call it to read it; pass it wherever a ``Now`` is wanted."""

    __slots__ = ("_now",)

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def __call__(self) -> datetime:
        """Read it."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Jump to a moment, forwards or backwards."""
        self._now = moment.astimezone(UTC)

    def advance(self, by: timedelta | float) -> None:
        """Let time pass: a duration, or a number of seconds."""
        self._now += by if isinstance(by, timedelta) else timedelta(seconds=by)

    def skewed(self, by: timedelta) -> Now:
        """The same clock as seen by a machine that runs ahead (or behind, when negative) of it."""
        return lambda: self._now + by


def wall_clock() -> datetime:
    """The real time, for a simulator that people play with."""
    return datetime.now(UTC)


def printed(moment: datetime) -> str:
    """As OpenProject prints times: milliseconds, cut off and not rounded (contract §2.3)."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
