"""The reports' numbers again, by the plainest reading of their definitions: half hour by half hour, move by move.

Shares no code with the reports. Histories lie on a grid of half hours, so that walking it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from bridge.reports.conventions import Conventions
from bridge.reports.period import Period
from tests.reports.world import POLICY, Move, Ticket, World

CELL = timedelta(minutes=30)
FRENCH_HOLIDAYS = frozenset(
    {date(2026, 1, 1), date(2026, 4, 6), date(2026, 5, 1), date(2026, 5, 8), date(2026, 5, 14), date(2026, 5, 25)}
    | {date(2026, 7, 14), date(2026, 8, 15), date(2026, 11, 1), date(2026, 11, 11), date(2026, 12, 25)}
)


@dataclass(frozen=True)
class Stay:
    """A ticket in a status."""

    ticket: Ticket
    status: str
    since: datetime
    until: datetime | None
    move: Move
    created: bool


class Truth:
    """What a reader would count by hand."""

    def __init__(self, world: World, period: Period, held: Conventions) -> None:
        self.world, self.period, self.held = world, period, held
        self.since, self.until = period.since, period.until
        self.lives = {ticket.id: tuple(_stays(ticket)) for ticket in world.tickets}
        self.end = min(self.until, world.watermark)

    # --- Pieces ---

    def stays(self) -> Iterable[Stay]:
        return (stay for id_ in sorted(self.lives) for stay in self.lives[id_])

    def within(self, at: datetime | None) -> bool:
        return at is not None and self.since <= at < self.until

    def open_time(self, since: datetime, until: datetime) -> timedelta:
        at, total = since, timedelta(0)
        while at < until:
            if self._is_open(at):
                total += CELL
            at += CELL
        return total

    def _is_open(self, at: datetime) -> bool:
        local = at.astimezone(self.held.zone)
        if local.date() in FRENCH_HOLIDAYS:
            return False
        spans = self.held.hours.week[local.weekday()]
        return any(s.start <= local.time() and (s.end is None or local.time() < s.end) for s in spans)

    def status_at(self, ticket: Ticket, at: datetime) -> str | None:
        """None before its life, and once it is out of sight."""
        if ticket.vanished is not None and at >= ticket.vanished:
            return None
        for stay in self.lives[ticket.id]:
            if stay.since <= at and (stay.until is None or at < stay.until):
                return stay.status
        return None

    def is_open(self, status: str | None) -> bool:
        return status is not None and status not in POLICY.closed

    def visible(self, ticket: Ticket, at: datetime) -> bool:
        return ticket.vanished is None or at < ticket.vanished

    def told(self, ticket: Ticket, label: str, moment: datetime) -> str:
        """What the activities say of an attribute, in the words of the reports."""
        said = [(ticket.moves[0].at, value) for key, value in ticket.details if key == label]
        said += [(s.at, value) for s in ticket.said for key, value in s.details if key == label]
        before = [value for at, value in sorted(said, key=lambda each: each[0]) if at <= moment]
        return before[-1] if before else "not known"

    def words(self, ticket: Ticket) -> list[tuple[datetime, int]]:
        written = [(m.at, m.person) for m in ticket.moves if m.comment]
        return written + [(s.at, s.person) for s in ticket.said]


def _stays(ticket: Ticket) -> Iterable[Stay]:
    kept: list[tuple[Move, str, bool]] = []
    for number, move in enumerate(ticket.moves):
        created = number == 0 and ticket.created
        if move.put_back is not None and not created:
            continue
        if move.own and kept and number == 1 and ticket.moves[0].put_back is not None and ticket.created:
            kept[0] = (kept[0][0], move.to, True)
            continue
        if kept and kept[-1][1] == move.to:
            continue
        kept.append((move, move.to, created))
    for (move, status, created), following in zip(kept, [*kept[1:], None], strict=True):
        yield Stay(ticket, status, move.at, following[0].at if following else None, move, created)


def rank(values: Sequence[timedelta], percent: int) -> timedelta | None:
    """The value at ⌈p·n⌉, counted from one."""
    if not values:
        return None
    return sorted(values)[math.ceil(percent * len(values) / 100) - 1]


def count(items: Iterable[object], test: Callable[[object], bool]) -> int:
    return sum(1 for item in items if test(item))
