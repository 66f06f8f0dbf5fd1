"""R9, whose clock: how long tickets waited on each party, and how often they went back and forth."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bridge.domain.model import PartyName, StatusName
from bridge.reports.definitions.counting import grouped, largest_first, percentile, share, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table
from bridge.store.schema import microseconds

_HOUR = 3_600_000_000


@dataclass(slots=True)
class _Waits:
    """Tickets that were open within the period, in columns. Durations in microseconds, one column a party."""

    starts: array[int]
    turns: array[int]
    calendar: list[array[int]]
    business: list[array[int]]


def whose_clock(desk: Desk) -> Report:
    """Time within the period, by the party that a ticket waited on."""
    text = desk.language.text
    parties: list[PartyName | None] = [*(party.name for party in desk.policy.parties), None]
    found = _waits(desk, parties)
    everything = range(len(found.starts))
    business = [sum(column) for column in found.business]
    whole = sum(business)
    turns = sorted(found.turns)
    back_and_forth = [n for n in everything if found.turns[n] > 1]
    return desk.report(
        "whose-clock",
        counted=(
            text("The part of each open ticket's life that lies in the period. Closed tickets wait on nobody."),
            *_said(desk),
            text(
                "Turns: how often the party that a ticket waited on changed to another one within the period. Times "
                "on hold between the two change nothing."
            ),
        ),
        figures=[
            Figure("tickets", text("Tickets"), Kind.COUNT, tally(everything), text("open at some time in the period")),
            *(
                Figure(
                    f"waits-{party or 'nobody'}",
                    _on(desk, party),
                    Kind.SHARE,
                    share(business[number], whole),
                    text("of business hours"),
                )
                for number, party in enumerate(parties)
            ),
            Figure("turns", text("Turns, median"), Kind.NUMBER, percentile(turns, 50)),
            Figure("back-and-forth", text("More than one turn"), Kind.COUNT, tally(back_and_forth)),
        ],
        tables=[
            _by_party(desk, parties, found),
            _by_project(desk, parties, found),
            _by_turns(desk, found),
        ],
        rows=_rows(desk, parties, found),
        business_hours=True,
        notices=[]
        if desk.conventions.waits_on
        else [text("No status is said to wait on anybody: write `waits-on` in reports.yaml.")],
    )


def _said(desk: Desk) -> list[str]:
    """Which statuses wait on whom."""
    said = []
    for party in desk.policy.parties:
        statuses = sorted(status for status, whose in desk.conventions.waits_on.items() if whose == party.name)
        if statuses:
            said.append(
                desk.language.text(
                    "Waits on {party}: {statuses}.", party=desk.party_name(party.name), statuses=", ".join(statuses)
                )
            )
    others = sorted(set(desk.policy.statuses) - set(desk.conventions.waits_on) - desk.policy.closed)
    if others:
        said.append(desk.language.text("Waits on nobody: {statuses}.", statuses=", ".join(others)))
    return said


def _on(desk: Desk, party: PartyName | None) -> str:
    if party is None:
        return desk.language.text("Waited on nobody")
    return desk.language.text("Waited on {party}", party=desk.party_name(party))


def _waits(desk: Desk, parties: Sequence[PartyName | None]) -> _Waits:
    history, closed = desk.history, desk.closed
    since, until = microseconds(desk.period.since), desk.known_until
    number_of = {party: number for number, party in enumerate(parties)}
    waits = {status: desk.conventions.waits_on.get(StatusName(desk.spelt(status))) for status in desk.status_order}
    column = {status: number_of[party] for status, party in waits.items()}
    nobody = number_of[None]
    # The clock at the period's ends and at each visit's beginning, in one go: clipping works on clocks as on moments.
    ran = desk.clock.positions(array("q", [since, until]) + history.since)
    ran_since, ran_until, ran = ran[0], ran[1], ran[2:]
    found = _Waits(array("q"), array("q"), [array("q") for _ in parties], [array("q") for _ in parties])
    for number, start, stop in history.lives():
        gone = desk.source.vanished.get(history.ticket[number], until)
        calendar, business = [0] * len(parties), [0] * len(parties)
        turns, last, was_open = 0, nobody, False
        for index in range(start, stop):
            begin, end = history.since[index], history.until[index]
            status = history.status[index]
            if status in closed or begin >= until or (end != NEVER and end <= since):
                continue
            if gone < until:
                end = gone if end == NEVER else min(end, gone)
                opened = desk.clock.open_time(max(begin, since), min(end, until))
            else:
                opened = min(ran_until, ran_until if end == NEVER else ran[index + 1]) - max(ran[index], ran_since)
            begin, end = max(begin, since), until if end == NEVER else min(end, until)
            if end <= begin:
                continue
            was_open = True
            on = column.get(status, nobody)
            calendar[on] += end - begin
            business[on] += opened
            if on != nobody:
                turns += last not in (nobody, on)
                last = on
        if was_open:
            found.starts.append(start)
            found.turns.append(turns)
            for party in range(len(parties)):
                found.calendar[party].append(calendar[party])
                found.business[party].append(business[party])
    return found


def _by_party(desk: Desk, parties: Sequence[PartyName | None], found: _Waits) -> Table:
    text = desk.language.text
    whole = sum(map(sum, found.business))
    rows: list[Sequence[Cell]] = []
    for number, party in enumerate(parties):
        mine = [n for n, value in enumerate(found.calendar[number]) if value]
        each = sorted(found.business[number][n] for n in mine)
        rows.append(
            (
                desk.language.text("nobody") if party is None else desk.party_name(party),
                tally(mine),
                span(sum(found.business[number])),
                share(sum(found.business[number]), whole),
                span(percentile(each, 50)),
                span(percentile(each, 85)),
                span(sum(found.calendar[number])),
            )
        )
    return Table(
        "by-party",
        text("By party"),
        (
            Column("party", text("Waited on")),
            Column("tickets", text("Tickets"), Kind.COUNT),
            Column("business", text("Business hours"), Kind.WORKTIME),
            Column("share", text("Share"), Kind.SHARE),
            Column("median-business", text("A ticket, median"), Kind.WORKTIME),
            Column("p85-business", text("A ticket, p85"), Kind.WORKTIME),
            Column("calendar", text("Calendar"), Kind.DURATION, minor=True),
        ),
        rows if found.starts else [],
        none=text("No ticket was open in this period."),
    )


def _by_project(desk: Desk, parties: Sequence[PartyName | None], found: _Waits) -> Table:
    text = desk.language.text
    groups = grouped(found.starts, range(len(found.starts)), desk.history.project_of)
    rows: list[Sequence[Cell]] = []
    for project, mine in largest_first(groups):
        hours = [sum(column[n] for n in mine) for column in found.business]
        rows.append(
            (
                desk.project_name(project),
                tally(mine),
                *(span(value) for value in hours),
                sum(found.turns[n] for n in mine) / len(mine),
            )
        )
    return Table(
        "by-project",
        text("By project"),
        (
            Column("project", text("Project")),
            Column("tickets", text("Tickets"), Kind.COUNT),
            *(Column(f"business-{party or 'nobody'}", _on(desk, party), Kind.WORKTIME) for party in parties),
            Column("turns", text("Turns, mean"), Kind.NUMBER),
        ),
        rows,
        note=text("In business hours."),
        none=text("No ticket was open in this period."),
    )


MOST_TURNS = 6
"""From so many turns on tickets are counted together."""


def _by_turns(desk: Desk, found: _Waits) -> Table:
    text = desk.language.text
    groups = grouped(found.turns, range(len(found.turns)), lambda turns: min(turns, MOST_TURNS))
    rows: list[Sequence[Cell]] = [
        (
            str(turns) if turns < MOST_TURNS else text("{count} and more", count=MOST_TURNS),
            tally(mine := groups.get(turns, [])),
            share(len(mine), len(found.starts)),
        )
        for turns in range(MOST_TURNS + 1)
    ]
    return Table(
        "by-turns",
        text("Back and forth"),
        (
            Column("turns", text("Turns")),
            Column("tickets", text("Tickets"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
        ),
        rows if found.starts else [],
        charts=[
            Chart(
                "by-turns",
                text("Tickets by number of turns"),
                Shape.COLUMNS,
                text("Turns"),
                [str(row[0]) for row in rows],
                [Series(text("Tickets"), [len(groups.get(turns, ())) for turns in range(MOST_TURNS + 1)])],
            )
        ]
        if found.starts
        else (),
        none=text("No ticket was open in this period."),
    )


def _both(found: _Waits) -> Iterable[tuple[array[int], array[int]]]:
    return zip(found.business, found.calendar, strict=True)


def _waited(time: int, calendar: int) -> timedelta | None:
    """None where the ticket never waited, which is not the same as a wait outside business hours."""
    return span(time) if calendar else None


def _rows(desk: Desk, parties: Sequence[PartyName | None], found: _Waits) -> Table:
    text = desk.language.text
    history = desk.history

    def row(number: int) -> Sequence[Cell]:
        visit = history.visit(found.starts[number])
        return (
            visit.ticket,
            desk.project_name(visit.project),
            *(_waited(column[number], calendar[number]) for column, calendar in _both(found)),
            *(_waited(calendar[number], calendar[number]) for _, calendar in _both(found)),
            found.turns[number],
            visit.decision,
            visit.seq,
        )

    return Table(
        "tickets",
        text("The tickets"),
        (
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            *(Column(f"business-{party or 'nobody'}", _on(desk, party), Kind.WORKTIME) for party in parties),
            *(
                Column(
                    f"calendar-{party or 'nobody'}",
                    text("{what}, calendar", what=_on(desk, party)),
                    Kind.DURATION,
                    minor=True,
                )
                for party in parties
            ),
            Column("turns", text("Turns"), Kind.COUNT),
            Column("decision", text("Began with"), Kind.DECISION),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found.starts), row),
        none=text("No ticket was open in this period."),
    )
