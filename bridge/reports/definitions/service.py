"""R7 and C3, service times: first answer, taken up, resolved, by a clock that pauses while others are at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.domain.model import StatusName
from bridge.reports.definitions.answers import first_words
from bridge.reports.definitions.counting import grouped, largest_first, percentile, share, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table
from bridge.store.schema import microseconds

_HOUR = 3_600_000_000


@dataclass(slots=True)
class Times:
    """One ticket's service times. Moments and durations in microseconds; NEVER where it has not happened."""

    start: int
    """Place of its first visit."""
    moments: tuple[int, int, int]
    """Of the first answer, of taking up, of the resolution."""
    calendar: tuple[int, int, int]
    """How long until each; pauses left out."""
    business: tuple[int, int, int]


def service_times(desk: Desk) -> Report:
    """Tickets created in the period."""
    text = desk.language.text
    found = times(desk)
    everything = range(len(found))
    held = desk.conventions
    answering = desk.party_name(held.answers)
    paused = ", ".join(sorted(held.paused))
    middle = [percentile(sorted(_known(found, n)), 50) for n in range(3)]
    reached = [[n for n in everything if found[n].calendar[which] != NEVER] for which in range(3)]
    of_all = desk.language.plural("of {count} ticket", "of {count} tickets", len(found))
    return desk.report(
        "service-times",
        counted=(
            text("Tickets created in the period, and what had happened to them by the end of the data."),
            text(
                "First answer: the first comment or move by {party}. Taken up: the first move into {taken_up}. "
                "Resolved: the first move into {resolved}.",
                party=answering,
                taken_up=_names(held.taken_up),
                resolved=_names(held.resolved),
            ),
            text("The clock pauses in {statuses}.", statuses=paused) if paused else text("The clock never pauses."),
            text(
                "What has not happened yet is in no median: its number stands beside it. Median and p85: half, and 85 "
                "in 100, took no longer."
            ),
        ),
        figures=[
            Figure("created", text("Created"), Kind.COUNT, tally(everything)),
            Figure("answer", text("First answer, median"), Kind.WORKTIME, span(middle[0]), text("business hours")),
            Figure("taken-up", text("Taken up, median"), Kind.WORKTIME, span(middle[1]), text("business hours")),
            Figure("resolved", text("Resolved, median"), Kind.WORKTIME, span(middle[2]), text("business hours")),
            Figure("unanswered", text("Not answered yet"), Kind.COUNT, _missing(everything, reached[0]), of_all),
            Figure("unresolved", text("Not resolved yet"), Kind.COUNT, _missing(everything, reached[2]), of_all),
        ],
        tables=[
            _measures(desk, found, reached),
            _by(desk, found, "by-type", text("By type"), text("Type"), lambda t: _type(desk, t)),
            _by(desk, found, "by-project", text("By project"), text("Project"), lambda t: _project(desk, t)),
            _by_month(desk, found),
        ],
        rows=_rows(desk, found),
        business_hours=True,
    )


def times(desk: Desk) -> list[Times]:
    """Service times of the tickets created within the period, the newest first."""
    history = desk.history
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    born = [
        (start, stop, history.ticket[number])
        for number, start, stop in history.lives()
        if history.created[start] and since <= history.since[start] < until
    ]
    said = first_words(desk, {ticket: history.since[start] for start, _, ticket in born}, desk.conventions.answers)
    found = [_follow(desk, start, stop, said.get(ticket, NEVER)) for start, stop, ticket in born]
    found.sort(key=lambda t: (-history.since[t.start], t.start))
    return found


def _follow(desk: Desk, start: int, stop: int, first_word: int) -> Times:
    """One ticket from its creation on, with its clocks running beside."""
    history, clock, meaning = desk.history, desk.clock, desk.meaning
    answered = _first_answer(desk, start, stop, first_word)
    moments, calendar, business = [answered, NEVER, NEVER], [NEVER] * 3, [NEVER] * 3
    total = opened = 0
    for index in range(start, stop):
        begin, end, status = history.since[index], history.until[index], history.status[index]
        runs = status not in meaning.paused
        for which, statuses in ((1, meaning.taken_up), (2, meaning.resolved)):
            if moments[which] == NEVER and status in statuses:
                moments[which], calendar[which], business[which] = begin, total, opened
        if begin <= answered and (end == NEVER or answered < end):
            calendar[0] = total + (answered - begin if runs else 0)
            business[0] = opened + (clock.open_time(begin, answered) if runs else 0)
        if NEVER not in calendar or end == NEVER:
            break
        if runs:
            total += end - begin
            opened += clock.open_time(begin, end)
    return Times(start, (*moments,), (*calendar,), (*business,))  # type: ignore[arg-type]  # three of each


def _first_answer(desk: Desk, start: int, stop: int, first_word: int) -> int:
    history, party = desk.history, desk.conventions.answers
    parties = history.parties
    moves = (history.since[i] for i in range(start + 1, stop) if parties[history.party[i]] == party)
    first_move = next(moves, NEVER)
    return max(first_move, first_word) if NEVER in (first_move, first_word) else min(first_move, first_word)


def _known(found: Sequence[Times], which: int, rows: Sequence[int] | None = None) -> list[int]:
    chosen = found if rows is None else [found[n] for n in rows]
    return [t.business[which] for t in chosen if t.business[which] != NEVER]


def _missing(everything: Sequence[int], reached: Sequence[int]) -> Cell:
    there = frozenset(reached)
    return tally([n for n in everything if n not in there])


def _names(statuses: frozenset[StatusName]) -> str:
    return ", ".join(sorted(statuses))


def _measures(desk: Desk, found: Sequence[Times], reached: Sequence[Sequence[int]]) -> Table:
    text = desk.language.text
    names = (text("First answer"), text("Taken up"), text("Resolved"))
    rows: list[Sequence[Cell]] = []
    for which, name in enumerate(names):
        business = sorted(_known(found, which))
        calendar = sorted(t.calendar[which] for t in found if t.calendar[which] != NEVER)
        rows.append(
            (
                name,
                tally(reached[which]),
                share(len(reached[which]), len(found)),
                span(percentile(business, 50)),
                span(percentile(business, 85)),
                span(business[-1] if business else None),
                span(percentile(calendar, 50)),
                span(percentile(calendar, 85)),
                _missing(range(len(found)), reached[which]),
            )
        )
    return Table(
        "measures",
        text("From the creation to"),
        (
            Column("measure", text("Until")),
            Column("reached", text("Tickets"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
            Column("median-business", text("Median, business hours"), Kind.WORKTIME),
            Column("p85-business", text("p85, business hours"), Kind.WORKTIME),
            Column("max-business", text("Longest, business hours"), Kind.WORKTIME),
            Column("median", text("Median, calendar"), Kind.DURATION),
            Column("p85", text("p85, calendar"), Kind.DURATION),
            Column("missing", text("Not yet"), Kind.COUNT),
        ),
        rows if found else [],
        none=text("No ticket was created in this period."),
    )


def _by(desk: Desk, found: Sequence[Times], key: str, title: str, name: str, named: Callable[[Times], str]) -> Table:
    text = desk.language.text
    rows: list[Sequence[Cell]] = []
    for group, mine in largest_first(grouped(found, range(len(found)), named)):
        cells: list[Cell] = []
        for which in range(3):
            business = sorted(_known(found, which, mine))
            cells += [span(percentile(business, 50)), span(percentile(business, 85))]
        rows.append((group, tally(mine), *cells))
    return Table(
        key,
        title,
        (
            Column(key.removeprefix("by-"), name),
            Column("created", text("Created"), Kind.COUNT),
            Column("answer-median", text("First answer, median"), Kind.WORKTIME),
            Column("answer-p85", text("First answer, p85"), Kind.WORKTIME),
            Column("taken-up-median", text("Taken up, median"), Kind.WORKTIME),
            Column("taken-up-p85", text("Taken up, p85"), Kind.WORKTIME, minor=True),
            Column("resolved-median", text("Resolved, median"), Kind.WORKTIME),
            Column("resolved-p85", text("Resolved, p85"), Kind.WORKTIME),
        ),
        rows,
        note=text("In business hours."),
        none=text("No ticket was created in this period."),
    )


def _by_month(desk: Desk, found: Sequence[Times]) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), lambda t: desk.day(desk.history.since[t.start]).isoformat()[:7])
    months = sorted(groups)
    medians = [[percentile(sorted(_known(found, which, groups[month])), 50) for month in months] for which in range(3)]
    return Table(
        "by-month",
        text("By month of creation"),
        (
            Column("month", text("Month")),
            Column("created", text("Created"), Kind.COUNT),
            Column("answer-median", text("First answer, median"), Kind.WORKTIME),
            Column("taken-up-median", text("Taken up, median"), Kind.WORKTIME),
            Column("resolved-median", text("Resolved, median"), Kind.WORKTIME),
        ),
        [(month, tally(groups[month]), *(span(medians[w][n]) for w in range(3))) for n, month in enumerate(months)],
        note=text("In business hours. The last months are young: what takes longest has not happened in them yet."),
        charts=[
            Chart(
                "by-month",
                text("Medians by month of creation, in business hours"),
                Shape.LINES,
                text("Month"),
                months,
                [
                    Series(name, [None if value is None else value / _HOUR for value in medians[which]])
                    for which, name in enumerate((text("First answer"), text("Taken up"), text("Resolved")))
                ],
                Kind.WORKTIME,
            )
        ]
        if len(months) > 1
        else (),
        open=True,
        none=text("No ticket was created in this period."),
    )


def _type(desk: Desk, times_: Times) -> str:
    listing = desk.source.listings.get(desk.history.ticket_of(times_.start))
    return desk.type_name(listing.type if listing else None)


def _project(desk: Desk, times_: Times) -> str:
    return desk.project_name(desk.history.project_of(times_.start))


def _rows(desk: Desk, found: Sequence[Times]) -> Table:
    text = desk.language.text
    history = desk.history

    def row(number: int) -> Sequence[Cell]:
        each = found[number]
        visit = history.visit(each.start)
        return (
            visit.ticket,
            desk.project_name(visit.project),
            _type(desk, each),
            desk.person_name(history.author(each.start)),
            desk.moment(visit.since),
            *(None if value == NEVER else span(value) for value in each.business),
            *(None if value == NEVER else span(value) for value in each.calendar),
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
            Column("author", text("Author")),
            Column("created", text("Created"), Kind.TIME),
            Column("answer-business", text("First answer, business hours"), Kind.WORKTIME),
            Column("taken-up-business", text("Taken up, business hours"), Kind.WORKTIME),
            Column("resolved-business", text("Resolved, business hours"), Kind.WORKTIME),
            Column("answer", text("First answer"), Kind.DURATION, minor=True),
            Column("taken-up", text("Taken up"), Kind.DURATION, minor=True),
            Column("resolved", text("Resolved"), Kind.DURATION, minor=True),
            Column("decision", text("Created by"), Kind.DECISION),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("No ticket was created in this period."),
    )
