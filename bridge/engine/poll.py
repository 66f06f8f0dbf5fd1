"""First step of a cycle: find the tickets that changed, and read what people did to them. Judges and writes nothing.

Finding costs one ``select`` request (contract A.1). A window poll lists what the server touched since the watermark,
with an overlap for late commits; a status snapshot of every visible ticket finds what no window can show: tickets that
vanished, moved out of sight, or were missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta

from bridge.domain.model import Listed, ProjectId, Ticket, WorkPackageId
from bridge.errors import BridgeError, SkipItem
from bridge.openproject.tracker import ActivityReading, Missing, Tracker
from bridge.store.ledger import KnownTicket

BATCH = 200
"""Tickets that are read before they are judged and written: bounds memory, and makes one transaction of them."""

CONFIRM_AT_ONCE = 200
"""Vanished tickets that are asked for one by one in a cycle; the next snapshot asks for the rest."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one listing says must be looked at."""

    server_time: datetime
    server_time_known: bool
    """False where the server tells no time, and this is the bridge's own."""
    listed: int
    due: tuple[Listed, ...]
    """Tickets whose activities must be read."""
    unlisted: tuple[WorkPackageId, ...] = ()
    """Tickets known from before that the server does not list any more."""


@dataclass(frozen=True, slots=True)
class Read:
    """A ticket with its activities as of now."""

    listed: Listed
    activities: tuple[ActivityReading, ...]
    ticket: Ticket | None = None
    """The ticket itself, read with them where the policy asks for what only it tells."""


@dataclass(frozen=True, slots=True)
class Gone:
    """404: deleted, moved out of sight or archived; nobody can tell which (contract §2.7)."""

    work_package: WorkPackageId
    reason: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The ticket is there and its activities cannot be read now. It is asked for again in the next cycle."""

    listed: Listed
    reason: str


def window(tracker: Tracker, watermark: datetime, overlap: timedelta, unfinished: Iterable[Listed]) -> Found:
    """Tickets touched since the watermark, and those that could not be read the last time."""
    listing = tracker.changed_since(watermark - overlap)
    due = {ticket.id: ticket for ticket in unfinished} | {ticket.id: ticket for ticket in listing.tickets}
    return Found(listing.server_time, listing.server_time_known, len(listing.tickets), tuple(due.values()))


def hinted(tracker: Tracker, hint: Iterable[WorkPackageId], now: datetime) -> Found:
    """Tickets that something says have changed. A hint only says where to look, never what is there."""
    tickets = [ticket for id_ in hint if not isinstance(ticket := tracker.ticket(id_), Missing)]
    due = tuple(Listed(ticket.id, ticket.project, ticket.status, ticket.type) for ticket in tickets)
    return Found(now, False, len(due), due)


def snapshot(tracker: Tracker, known: Mapping[WorkPackageId, KnownTicket], touched: Found | None) -> Found:
    """Every visible ticket against what is known: new, changed, come back, or no longer listed.

    ``touched`` is the window of the same cycle; None when there is no watermark yet. A snapshot alone would not show
    comments, nor a ticket that was moved and moved back.
    """
    listing = tracker.status_snapshot()
    in_window = {ticket.id for ticket in touched.due} if touched is not None else frozenset()
    due = tuple(t for t in listing.tickets if t.id in in_window or _differs(t, known.get(t.id)))
    seen = {ticket.id for ticket in listing.tickets}
    unlisted = tuple(id_ for id_, ticket in known.items() if id_ not in seen and not ticket.vanished)
    first = touched or listing
    return Found(first.server_time, first.server_time_known, len(listing.tickets), due, unlisted)


def _differs(ticket: Listed, known: KnownTicket | None) -> bool:
    if known is None or known.vanished or not known.synced or known.project != ticket.project:
        return True
    return ticket.status is not None and known.status != ticket.status


def read(
    tracker: Tracker, due: Sequence[Listed], pool: Executor, *, with_tickets: bool = False
) -> Iterator[list[Read | Gone | Unreadable]]:
    """The activities of each ticket, in batches, over as many connections as the pool has threads.

    ``with_tickets`` reads the ticket itself as well, which costs the server three times as much (contract A.1). Where
    the server stops answering, what it did answer comes first, and the error after it: the next answer may be another.
    """
    failed: list[BridgeError] = []

    def one(listed: Listed) -> Read | Gone | Unreadable | None:
        if failed:
            return None
        try:
            activities = tracker.activities(listed.id)
            ticket = tracker.ticket(listed.id) if with_tickets else None
        except SkipItem as error:
            return Unreadable(listed, str(error))
        except BridgeError as error:
            failed.append(error)
            return None
        if isinstance(activities, Missing) or isinstance(ticket, Missing):
            return Gone(listed.id, "the server no longer shows it")
        return Read(listed, activities, ticket)

    for start in range(0, len(due), BATCH):
        yield [answer for answer in pool.map(one, due[start : start + BATCH]) if answer is not None]
        if failed:
            raise failed[0]


def confirm_gone(
    tracker: Tracker,
    unlisted: Sequence[WorkPackageId],
    known: Mapping[WorkPackageId, KnownTicket],
    visible: frozenset[ProjectId],
) -> Iterator[Gone]:
    """Which of the unlisted tickets are really out of sight. A ticket is never given up on a listing alone."""
    asked = 0
    for work_package in unlisted:
        if known[work_package].project not in visible:
            yield Gone(
                work_package, "its project is no longer visible: archived, or the bridge is not a member any more"
            )
        elif asked < CONFIRM_AT_ONCE:
            asked += 1
            try:
                missing = isinstance(tracker.ticket(work_package), Missing)
            except SkipItem:
                continue
            if missing:
                yield Gone(work_package, "deleted, or moved to a project that the bridge cannot see")
