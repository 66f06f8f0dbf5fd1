"""R10, flow: what arrives, what leaves, what comes back, and what is open in between."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from datetime import date
from itertools import accumulate

from bridge.reports.definitions.ages import open_at
from bridge.reports.definitions.counting import tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.period import DAY, beginning
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table
from bridge.store.schema import microseconds

DAILY = 92
"""Up to so many days the report is by day: a quarter. Beyond, by week."""
WEEKLY = 1_100
"""Up to so many days by week: three years. Beyond, by month."""

ARRIVAL, DEPARTURE, RETURN = range(3)


def flow(desk: Desk) -> Report:
    """Arrivals, departures and open tickets over the period."""
    text = desk.language.text
    starts = _buckets(desk)
    events, kinds = _events(desk)
    edges = [microseconds(beginning(day, desk.conventions.zone)) for day in starts]
    by_kind: list[list[list[int]]] = [[[] for _ in starts] for _ in range(3)]
    for number, index in enumerate(events):
        bucket = bisect_right(edges, desk.history.since[index]) - 1
        by_kind[kinds[number]][bucket].append(number)
    statuses, levels = _levels(desk, [*edges[1:], desk.known_until] if starts else [])
    arrived, left, returned = ([n for bucket in by_kind[kind] for n in bucket] for kind in range(3))
    before = open_at(desk, microseconds(desk.period.since) - 1)
    at_end = open_at(desk, desk.known_until - 1) if starts else before
    # Whatever is open was open before or came in the period: where its spell of being open began says which row.
    row_of = {_came(desk, index): len(events) + number for number, index in enumerate(before)}
    row_of |= {index: number for number, index in enumerate(events) if kinds[number] != DEPARTURE}
    now_open = [row_of[_came(desk, index)] for index in at_end]
    return desk.report(
        "flow",
        counted=(
            text(
                "Arrivals: tickets created, or first seen in any status where no activity shows their creation. "
                "Closed: moves from an open status into one that closes. Returned: moves out of one that closes."
            ),
            text(
                "Open at the end: tickets in a status that does not close them at the end of each day, week or month, "
                "or of the data, whichever comes first. Tickets that went out of sight count until then. Moves that "
                "the bridge put back count for nothing."
            ),
            text(
                "The rows: moves of the period, then the tickets that were open before. Open tickets by day, week or "
                "month have their rows in the report on ages with that day as its last, not here."
            ),
        ),
        figures=[
            Figure("before", text("Open before"), Kind.COUNT, tally(range(len(events), len(events) + len(before)))),
            Figure("arrived", text("Arrived"), Kind.COUNT, tally(arrived)),
            Figure("left", text("Closed"), Kind.COUNT, tally(left)),
            Figure("returned", text("Returned"), Kind.COUNT, tally(returned)),
            Figure("open", text("Open at the end"), Kind.COUNT, tally(now_open)),
        ],
        tables=[_by_time(desk, starts, by_kind, statuses, levels, before), _by_status(desk, starts, statuses, levels)],
        rows=_rows(desk, events + before, kinds),
    )


def _buckets(desk: Desk) -> list[date]:
    """First days of the days, weeks or months of the period that have begun; the first and the last may be shorter."""
    first, days = desk.period.first, desk.period.days
    every = [first + DAY * number for number in range(desk.known_days)]
    if days <= DAILY:
        return every
    if days <= WEEKLY:
        return [day for day in every if day == first or day.weekday() == 0]
    return [day for day in every if day == first or day.day == 1]


def _events(desk: Desk) -> tuple[array[int], array[int]]:
    """Visits that begin with an arrival, departure or return within the period, in order of time, and which it is."""
    history, closed = desk.history, desk.closed
    since, until = microseconds(desk.period.since), desk.known_until
    found: list[tuple[int, int, int]] = []
    begins, statuses = history.since, history.status
    for _, start, stop in history.lives():
        was_closed = False
        for index in range(start, stop):
            at = begins[index]
            if at >= until:
                break
            is_closed = statuses[index] in closed
            if at >= since:
                if index == start:
                    found.append((at, index, ARRIVAL))
                if is_closed and not was_closed:
                    found.append((at, index, DEPARTURE))
                elif was_closed and not is_closed:
                    found.append((at, index, RETURN))
            was_closed = is_closed
    found.sort()
    return array("q", (index for _, index, _ in found)), array("b", (kind for *_, kind in found))


def _came(desk: Desk, index: int) -> int:
    """The visit with which a ticket's being open began that it is at with this one."""
    history, closed = desk.history, desk.closed
    start = history.start_of(index)
    while index > start and history.status[index - 1] not in closed:
        index -= 1
    return index


def _levels(desk: Desk, ends: Sequence[int]) -> tuple[list[int], dict[int, list[int]]]:
    """Open statuses, and how many tickets stand in each at each of these moments (which are not included)."""
    history, closed, vanished = desk.history, desk.closed, desk.source.vanished
    changes: dict[int, list[int]] = {}
    for number, start, stop in history.lives():
        gone = vanished.get(history.ticket[number])
        for index in range(start, stop):
            status = history.status[index]
            if status in closed:
                continue
            begin, end = history.since[index], history.until[index]
            if gone is not None and (end == NEVER or end > gone):
                end = gone
            into = bisect_right(ends, begin)
            out = len(ends) if end == NEVER else bisect_right(ends, end)
            if into >= out:
                continue
            steps = changes.get(status)
            if steps is None:
                steps = changes[status] = [0] * (len(ends) + 1)
            steps[into] += 1
            steps[out] -= 1
    order = sorted(changes, key=lambda status: (desk.status_order.get(status, NEVER), status))
    return order, {status: list(accumulate(changes[status]))[:-1] for status in order}


def _by_time(
    desk: Desk,
    starts: Sequence[date],
    by_kind: Sequence[Sequence[list[int]]],
    statuses: Sequence[int],
    levels: dict[int, list[int]],
    before: Sequence[int],
) -> Table:
    text = desk.language.text
    arrived, left, returned = by_kind
    open_ = [sum(levels[status][number] for status in statuses) for number in range(len(starts))]
    some = any(open_) or any(map(any, by_kind)) or before
    labels = [desk.language.short_date(day) for day in starts]
    title = _bucket_title(desk)
    rows: list[Sequence[Cell]] = [
        (day, tally(arrived[n]), tally(left[n]), tally(returned[n]), open_[n]) for n, day in enumerate(starts)
    ]
    return Table(
        "by-time",
        text("Arrivals and departures"),
        (
            Column("day", title, Kind.DATE),
            Column("arrived", text("Arrived"), Kind.COUNT),
            Column("left", text("Closed"), Kind.COUNT),
            Column("returned", text("Returned"), Kind.COUNT),
            Column("open", text("Open at the end"), Kind.COUNT),
        ),
        rows if some else [],
        charts=[
            Chart(
                "arrivals",
                text("Arrived and closed since the period began"),
                Shape.LINES,
                title,
                labels,
                [
                    Series(text("Arrived or returned"), _running(arrived, returned)),
                    Series(text("Closed"), _running(left)),
                ],
            )
        ]
        if some
        else (),
        none=text("Nothing moved in this period, and nothing was open."),
    )


def _running(*kinds: Sequence[list[int]]) -> list[float]:
    return list(accumulate(sum(map(len, buckets)) for buckets in zip(*kinds, strict=True)))


def _bucket_title(desk: Desk) -> str:
    text = desk.language.text
    if desk.period.days <= DAILY:
        return text("Day")
    return text("Week from") if desk.period.days <= WEEKLY else text("Month from")


def _by_status(desk: Desk, starts: Sequence[date], statuses: Sequence[int], levels: dict[int, list[int]]) -> Table:
    text = desk.language.text
    last = min(desk.period.last, desk.day(desk.known_until - 1))
    return Table(
        "by-status",
        text("Open tickets by status"),
        (
            Column("day", _bucket_title(desk), Kind.DATE),
            *(Column(f"status-{status}", desk.status_name(status), Kind.COUNT) for status in statuses),
        ),
        [(day, *(levels[status][number] for status in statuses)) for number, day in enumerate(starts)]
        if statuses
        else [],
        note=text(
            "The tickets behind a day: the report on ages with that day as its last, {day} here.",
            day=desk.language.date(last),
        ),
        charts=[
            Chart(
                "cumulative-flow",
                text("Open tickets by status (cumulative flow)"),
                Shape.AREAS,
                _bucket_title(desk),
                [desk.language.short_date(day) for day in starts],
                [Series(desk.status_name(status), levels[status]) for status in reversed(statuses)],
            )
        ]
        if statuses
        else (),
        none=text("No ticket was open."),
    )


def _rows(desk: Desk, events: array[int], kinds: array[int]) -> Table:
    text = desk.language.text
    history = desk.history
    names, before = (text("arrived"), text("closed"), text("returned")), text("open before")

    def row(number: int) -> Sequence[Cell]:
        index = events[number]
        visit = history.visit(index)
        earlier = history.status[index - 1] if index > history.start_of(index) else None
        return (
            visit.decision,
            desk.moment(visit.since),
            names[kinds[number]] if number < len(kinds) else before,
            visit.ticket,
            desk.project_name(visit.project),
            None if earlier is None else desk.status_name(earlier),
            desk.status_name(visit.status),
            desk.person_name(visit.person),
            desk.party_name(visit.party),
            visit.seq,
        )

    return Table(
        "moves",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("what", text("What")),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("from", text("From")),
            Column("to", text("To")),
            Column("person", text("Person")),
            Column("party", text("Party"), minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(events), row),
        note=text("The tickets that were open before come last, with the move that led to where they stood then."),
        none=text("Nothing arrived, was closed or returned in this period."),
    )
