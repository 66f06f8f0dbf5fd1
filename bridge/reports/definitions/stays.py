"""R3, time in status: how long tickets stay in each status, and which stays are out of the ordinary."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from bridge.reports.definitions.counting import Limits, limits, percentile, share, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table
from bridge.store.schema import microseconds

ENOUGH = 8
"""Stays that limits need: of fewer they say nothing."""
DRAWN = 4
"""Statuses, those with most stays, that have a chart of limits; the table has all."""
LAST = 40
"""Stays that a chart of limits shows."""


def _numbers() -> array[int]:
    return array("q")


@dataclass(slots=True)
class _Status:
    """What is known about the stays in one status."""

    visited: bytearray
    """Of each ticket that lived, in the order of their rows, whether it has ever been there."""
    ended: array[int] = field(default_factory=_numbers)
    """Places among the rows."""
    calendar: array[int] = field(default_factory=_numbers)
    business: array[int] = field(default_factory=_numbers)
    tickets: array[int] = field(default_factory=_numbers)
    """Of each ticket that has a stay that ended in the period, the first such stay's place among the rows."""
    ongoing: array[int] = field(default_factory=_numbers)
    """Places among the rows, of stays that the period's end found going on."""


def time_in_status(desk: Desk) -> Report:
    """Stays that ended in the period, by status."""
    text = desk.language.text
    visits, ended, found = _stays(desk)
    alive = range(ended, len(visits))
    order = sorted(found, key=lambda status: (desk.status_order.get(status, NEVER), status))
    bounds = {status: _limits(desk, visits, found[status]) for status in order}
    beyond = sorted(row for status in order for row in _beyond(found[status], bounds[status]))
    return desk.report(
        "time-in-status",
        counted=(
            text(
                "Stays in a status that ended in the period: from the move that began it to the move that ended it. "
                "Stays that go on are counted apart, and are in no median. A move that the bridge put back is no stay."
            ),
            text(
                "Median and p85: half, and 85 in 100, of the stays were no longer. Each is a stay that happened "
                "(nearest rank). A ticket that was never in a status is not zero there: it is counted as never, and "
                "its row is where it stands instead."
            ),
            text(
                "Limits: mean plus 2.66 times the mean difference of one stay to the next, in the order in which they "
                "ended (XmR chart). A stay beyond the limit has a reason of its own; one within it is the usual way."
            ),
        ),
        figures=[
            Figure("stays", text("Stays that ended"), Kind.COUNT, tally(range(ended))),
            Figure(
                "tickets",
                text("Tickets"),
                Kind.COUNT,
                tally(alive),
                text("that existed in the period"),
            ),
            Figure("beyond", text("Beyond the limits"), Kind.COUNT, tally(beyond), text("stays out of the ordinary")),
        ],
        tables=[_by_status(desk, order, found, bounds, alive), _limit_table(desk, order, visits, found, bounds)],
        rows=_rows(desk, visits, ended),
        business_hours=True,
    )


def _stays(desk: Desk) -> tuple[array[int], int, dict[int, _Status]]:
    """Places in the history of the stays that ended in the period and then of those that went on, one of each ticket
    that lived; how many of them ended, and what is known by status.
    """
    history, opened = desk.history, desk.opened
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    visits: array[int] = array("q")
    ongoing: array[int] = array("q")
    found: dict[int, _Status] = {}
    statuses, begins, ends = history.status, history.since, history.until
    for _, start, stop in history.lives():
        if begins[start] >= until:
            continue
        mine = len(ongoing)
        counted: set[int] = set()
        for index in range(start, stop):
            begin, end = begins[index], ends[index]
            if begin >= until:
                break
            status = statuses[index]
            known = found.get(status)
            if known is None:
                known = found[status] = _Status(bytearray(len(history.ticket)))
            known.visited[mine] = True
            if end == NEVER or end >= until:
                known.ongoing.append(len(ongoing))
                ongoing.append(index)
            elif end >= since:
                known.ended.append(len(visits))
                known.calendar.append(end - begin)
                known.business.append(opened[index + 1] - opened[index])
                if status not in counted:
                    counted.add(status)
                    known.tickets.append(len(visits))
                visits.append(index)
    ended = len(visits)
    for known in found.values():
        known.ongoing = array("q", (ended + place for place in known.ongoing))
    return visits + ongoing, ended, found


def _limits(desk: Desk, visits: array[int], status: _Status) -> Limits | None:
    """Of business hours, in the order in which the stays ended."""
    if len(status.ended) < ENOUGH:
        return None
    ends = desk.history.until
    order = sorted(range(len(status.ended)), key=lambda n: ends[visits[status.ended[n]]])
    return limits([status.business[n] for n in order])


def _beyond(status: _Status, bounds: Limits | None) -> list[int]:
    if bounds is None:
        return []
    return [row for row, value in zip(status.ended, status.business, strict=True) if value > bounds.upper]


def _by_status(
    desk: Desk, order: Sequence[int], found: dict[int, _Status], bounds: dict[int, Limits | None], alive: range
) -> Table:
    text = desk.language.text
    rows: list[Sequence[Cell]] = []
    for status in order:
        known = found[status]
        calendar, business = sorted(known.calendar), sorted(known.business)
        never = tally(array("q", (row for row, been in zip(alive, known.visited, strict=False) if not been)))
        rows.append(
            (
                desk.status_name(status),
                tally(known.ended),
                tally(known.tickets),
                span(percentile(calendar, 50)),
                span(percentile(calendar, 85)),
                span(percentile(business, 50)),
                span(percentile(business, 85)),
                tally(known.ongoing),
                never,
                share(never.total, len(alive)),
            )
        )
    hours = timedelta(hours=1)
    shown = [row for row in rows if row[3] is not None]
    return Table(
        "by-status",
        text("By status"),
        (
            Column("status", text("Status")),
            Column("stays", text("Stays"), Kind.COUNT),
            Column("tickets", text("Tickets"), Kind.COUNT, minor=True),
            Column("median", text("Median"), Kind.DURATION),
            Column("p85", text("p85"), Kind.DURATION),
            Column("median-business", text("Median, business hours"), Kind.WORKTIME),
            Column("p85-business", text("p85, business hours"), Kind.WORKTIME),
            Column("ongoing", text("Still there"), Kind.COUNT),
            Column("never", text("Never there"), Kind.COUNT),
            Column("never-share", text("Never, share"), Kind.SHARE, minor=True),
        ),
        rows,
        note=desk.language.plural(
            "Still there and never there: tickets at the end of the period, of {count} ticket that existed by then.",
            "Still there and never there: tickets at the end of the period, of {count} tickets that existed by then.",
            len(alive),
        ),
        charts=[
            Chart(
                "by-status",
                text("Business hours in each status"),
                Shape.BARS,
                text("Status"),
                [str(row[0]) for row in shown],
                [
                    Series(text("Median"), [_hours(row[5], hours) for row in shown]),
                    Series(text("p85"), [_hours(row[6], hours) for row in shown]),
                ],
                Kind.WORKTIME,
            )
        ]
        if shown
        else (),
        open=True,
        none=text("No ticket existed in this period."),
    )


def _hours(cell: Cell, hour: timedelta) -> float | None:
    return cell / hour if isinstance(cell, timedelta) else None


def _limit_table(
    desk: Desk,
    order: Sequence[int],
    visits: array[int],
    found: dict[int, _Status],
    bounds: dict[int, Limits | None],
) -> Table:
    text = desk.language.text
    rows: list[Sequence[Cell]] = []
    charts = []
    drawn = sorted((s for s in order if bounds[s] is not None), key=lambda s: -len(found[s].ended))[:DRAWN]
    for status in order:
        known, bound = found[status], bounds[status]
        if bound is None:
            continue
        rows.append(
            (
                desk.status_name(status),
                tally(known.ended),
                span(bound.mean),
                span(bound.upper),
                tally(_beyond(known, bound)),
            )
        )
        if status in drawn:
            charts.append(_limit_chart(desk, status, visits, known, bound))
    return Table(
        "limits",
        text("What is usual"),
        (
            Column("status", text("Status")),
            Column("stays", text("Stays"), Kind.COUNT),
            Column("mean", text("Mean"), Kind.WORKTIME),
            Column("upper", text("Upper limit"), Kind.WORKTIME),
            Column("beyond", text("Beyond"), Kind.COUNT),
        ),
        rows,
        note=text("In business hours. Statuses with at least {count} stays.", count=desk.language.number(ENOUGH)),
        charts=charts,
        open=True,
        none=text("No status has enough stays that ended in this period."),
    )


def _limit_chart(desk: Desk, status: int, visits: array[int], known: _Status, bound: Limits) -> Chart:
    text = desk.language.text
    ends = desk.history.until
    order = sorted(range(len(known.ended)), key=lambda n: ends[visits[known.ended[n]]])[-LAST:]
    hour = 3_600_000_000
    return Chart(
        f"limits-{status}",
        text("{status}: the last stays, in business hours", status=desk.status_name(status)),
        Shape.LINES,
        text("Ended"),
        [desk.language.short_date(desk.day(ends[visits[known.ended[n]]])) for n in order],
        [
            Series(text("Stay"), [known.business[n] / hour for n in order]),
            Series(text("Mean"), [bound.mean / hour] * len(order), colour=5, dashed=True),
            Series(text("Upper limit"), [bound.upper / hour] * len(order), colour=4, dashed=True),
        ],
        Kind.WORKTIME,
    )


def _rows(desk: Desk, visits: array[int], ended: int) -> Table:
    text = desk.language.text
    history, opened = desk.history, desk.opened

    def row(number: int) -> Sequence[Cell]:
        index = visits[number]
        visit = history.visit(index)
        over = number < ended
        return (
            visit.decision,
            visit.ticket,
            desk.project_name(visit.project),
            desk.status_name(visit.status),
            desk.moment(visit.since),
            desk.moment(visit.until) if over else None,
            span(visit.until - visit.since) if over else None,
            span(opened[index + 1] - opened[index]) if over else None,
            history.decision_id(index + 1) if over else None,
            visit.seq,
        )

    return Table(
        "stays",
        text("The stays"),
        (
            Column("decision", text("Began with"), Kind.DECISION),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("status", text("Status")),
            Column("since", text("From"), Kind.TIME),
            Column("until", text("Until"), Kind.TIME),
            Column("stay", text("Stay"), Kind.DURATION),
            Column("stay-business", text("Business hours"), Kind.WORKTIME),
            Column("ended", text("Ended with"), Kind.DECISION, minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(visits), row),
        note=text("Those that went on at the end of the period come last, without an end."),
        none=text("No ticket existed in this period."),
    )
