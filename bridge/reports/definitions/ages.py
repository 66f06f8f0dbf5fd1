"""R4, age of open tickets by status: what is waiting, since when, and on whom."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from bridge.domain.model import StatusName
from bridge.reports.definitions.counting import grouped, largest_first, percentile, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table

DAYS = (2, 7, 30, 90)
"""Bounds of the age groups, in days."""
_DAY = 86_400_000_000


def ages(desk: Desk) -> Report:
    """Tickets that are open at the end of the period, or now where it has not ended."""
    text = desk.language.text
    found = open_at(desk, desk.known_until)
    at = desk.known_until
    everything = range(len(found))
    ages_ = sorted(at - _born(desk, index) for index in found)
    groups = grouped(found, everything, lambda index: desk.history.status[index])
    return desk.report(
        "ages",
        counted=(
            text(
                "Tickets that stand in a status that does not close them, at the end of the period or of the data, "
                "whichever comes first: {time}.",
                time=desk.language.time(desk.moment(at) or desk.now),
            ),
            text(
                "Age: since the ticket was created. In status: since the move into its present status. Tickets that "
                "went out of sight are left out."
            ),
        ),
        figures=[
            Figure("open", text("Open tickets"), Kind.COUNT, tally(everything)),
            Figure("median", text("Age, median"), Kind.DURATION, span(percentile(ages_, 50))),
            Figure("p85", text("Age, p85"), Kind.DURATION, span(percentile(ages_, 85))),
            Figure("oldest", text("Oldest"), Kind.DURATION, span(ages_[-1] if ages_ else None)),
        ],
        tables=[_by_status(desk, found, groups, at), _by_party(desk, found, at)],
        rows=_rows(desk, found, at),
        business_hours=True,
    )


def open_at(desk: Desk, at: int) -> array[int]:
    """Places in the history of the visits that open tickets are at, at this moment; the oldest ticket first."""
    history, closed, vanished = desk.history, desk.closed, desk.source.vanished
    found = []
    for number, start, stop in history.lives():
        if history.since[start] > at or vanished.get(history.ticket[number], at + 1) <= at:
            continue
        index = stop - 1
        while history.since[index] > at:
            index -= 1
        if history.status[index] not in closed:
            found.append((history.since[start], index))
    return array("q", (index for _, index in sorted(found)))


def waits_on(desk: Desk, status: int) -> str:
    """On whom a ticket in this status waits, in words."""
    party = desk.conventions.waits_on.get(StatusName(desk.spelt(status)))
    return desk.party_name(party) if party is not None else desk.language.text("nobody")


def _born(desk: Desk, index: int) -> int:
    return desk.history.since[desk.history.start_of(index)]


def _by_status(desk: Desk, found: array[int], groups: dict[int, list[int]], at: int) -> Table:
    text = desk.language.text
    order = sorted(groups, key=lambda status: (desk.status_order.get(status, NEVER), status))
    names = _age_groups(desk)
    rows: list[Sequence[Cell]] = []
    counts: list[list[int]] = []
    for status in order:
        mine = groups[status]
        age = sorted(at - _born(desk, found[n]) for n in mine)
        stay = sorted(at - desk.history.since[found[n]] for n in mine)
        by_age = grouped(found, mine, lambda index: _age_group(at - _born(desk, index)))
        counts.append([len(by_age.get(number, ())) for number in range(len(names))])
        rows.append(
            (
                desk.status_name(status),
                waits_on(desk, status),
                tally(mine),
                span(percentile(age, 50)),
                span(percentile(age, 85)),
                span(age[-1]),
                span(percentile(stay, 50)),
                *(tally(by_age.get(number, [])) for number in range(len(names))),
            )
        )
    return Table(
        "by-status",
        text("By status"),
        (
            Column("status", text("Status")),
            Column("waits-on", text("Waits on")),
            Column("open", text("Open"), Kind.COUNT),
            Column("median", text("Age, median"), Kind.DURATION),
            Column("p85", text("Age, p85"), Kind.DURATION),
            Column("oldest", text("Oldest"), Kind.DURATION),
            Column("in-status", text("In status, median"), Kind.DURATION),
            *(Column(f"age-{number}", name, Kind.COUNT, minor=True) for number, name in enumerate(names)),
        ),
        rows,
        charts=[
            Chart(
                "by-age",
                text("Open tickets by age"),
                Shape.COLUMNS,
                text("Age"),
                names,
                [
                    Series(desk.status_name(status), [counts[row][number] for number in range(len(names))])
                    for row, status in enumerate(order)
                ],
            )
        ]
        if rows
        else (),
        open=True,
        none=text("No ticket was open."),
    )


def _age_groups(desk: Desk) -> list[str]:
    language = desk.language
    names = [
        language.plural("up to {count} day", "up to {count} days", DAYS[0]),
        *(
            language.text("{first} to {last} days", first=language.number(first), last=language.number(last))
            for first, last in pairwise(DAYS)
        ),
    ]
    return [*names, language.text("over {count} days", count=language.number(DAYS[-1]))]


def _age_group(age: int) -> int:
    return sum(age > days * _DAY for days in DAYS)


def _by_party(desk: Desk, found: array[int], at: int) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), lambda index: waits_on(desk, desk.history.status[index]))
    rows = []
    for name, mine in largest_first(groups):
        stay = sorted(at - desk.history.since[found[n]] for n in mine)
        rows.append((name, tally(mine), span(percentile(stay, 50)), span(percentile(stay, 85)), span(stay[-1])))
    return Table(
        "by-party",
        text("On whom they wait"),
        (
            Column("waits-on", text("Waits on")),
            Column("open", text("Open"), Kind.COUNT),
            Column("median", text("In status, median"), Kind.DURATION),
            Column("p85", text("In status, p85"), Kind.DURATION),
            Column("longest", text("Longest"), Kind.DURATION),
        ),
        rows,
        none=text("No ticket was open."),
    )


def _rows(desk: Desk, found: array[int], at: int) -> Table:
    text = desk.language.text
    history, clock = desk.history, desk.clock

    def row(number: int) -> Sequence[Cell]:
        visit = history.visit(found[number])
        return (
            visit.ticket,
            desk.project_name(visit.project),
            desk.type_of(visit.ticket),
            desk.status_name(visit.status),
            waits_on(desk, visit.status),
            timedelta(microseconds=at - _born(desk, found[number])),
            timedelta(microseconds=at - visit.since),
            timedelta(microseconds=clock.open_time(visit.since, at)),
            desk.moment(visit.since),
            visit.decision,
            visit.seq,
        )

    return Table(
        "tickets",
        text("The tickets"),
        (
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("type", text("Type"), minor=True),
            Column("status", text("Status")),
            Column("waits-on", text("Waits on")),
            Column("age", text("Age"), Kind.DURATION),
            Column("in-status", text("In status"), Kind.DURATION),
            Column("in-status-business", text("In status, business hours"), Kind.WORKTIME, minor=True),
            Column("since", text("Since"), Kind.TIME, minor=True),
            Column("decision", text("Decision"), Kind.DECISION),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("No ticket was open."),
    )
