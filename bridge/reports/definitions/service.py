"""R7 and C3, service times: first answer, taken up, resolved, by a clock that pauses while others are at work."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

from bridge.domain.model import StatusName
from bridge.reports.definitions.answers import first_words
from bridge.reports.definitions.counting import grouped, largest_first, percentile, share, span, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Chart, Column, Figure, Kind, LazyRows, Report, Series, Shape, Table, Tally
from bridge.store.schema import microseconds

_HOUR = 3_600_000_000


class Times:
    """Service times of tickets, the newest first, in columns. Durations in microseconds; NEVER where not yet."""

    def __init__(self) -> None:
        self.start = array("q")
        """Place of each ticket's first visit."""
        self.ticket, self.project = array("q"), array("q")
        self.calendar = (array("q"), array("q"), array("q"))
        """To the first answer, to taking up, to the resolution; pauses left out."""
        self.business = (array("q"), array("q"), array("q"))

    def __len__(self) -> int:
        """How many tickets."""
        return len(self.start)


def service_times(desk: Desk) -> Report:
    """Tickets created in the period."""
    text = desk.language.text
    found = times(desk)
    everything = range(len(found))
    held = desk.conventions
    answering = desk.party_name(held.answers)
    paused = ", ".join(sorted(held.paused))
    business = [_known(column, everything) for column in found.business]
    middle = [percentile(took, 50) for took in business]
    reached = [[n for n, value in enumerate(column) if value != NEVER] for column in found.calendar]
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
            Figure("unanswered", text("Not answered yet"), Kind.COUNT, _missing(found.calendar[0]), of_all),
            Figure("unresolved", text("Not resolved yet"), Kind.COUNT, _missing(found.calendar[2]), of_all),
        ],
        tables=[
            _measures(desk, found, reached, business),
            _by(desk, found, "by-type", text("By type"), text("Type"), found.ticket, desk.type_of),
            _by(desk, found, "by-project", text("By project"), text("Project"), found.project, desk.project_name),
            _by_month(desk, found),
        ],
        rows=_rows(desk, found),
        business_hours=True,
    )


def times(desk: Desk) -> Times:
    """Service times of the tickets created within the period."""
    history, first = desk.history, desk.history.first
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    born = [
        number
        for number, start, _ in history.lives()
        if history.created[start] and since <= history.since[start] < until
    ]
    born.sort(key=lambda number: -history.since[first[number]])
    began = {history.ticket[number]: history.since[first[number]] for number in born}
    said = first_words(desk, began, desk.conventions.answers)
    answering = {party: code for code, party in enumerate(history.parties)}.get(desk.conventions.answers, NEVER)
    found = Times()
    follow = _follower(desk)
    for number in born:
        start, stop, ticket = first[number], first[number + 1], history.ticket[number]
        found.start.append(start)
        found.ticket.append(ticket)
        found.project.append(history.project[number])
        first_answer = _first_answer(history.party, history.since, start, stop, answering, said.get(ticket, NEVER))
        clocks = follow(start, stop, first_answer)
        for which, (calendar, business) in enumerate(clocks):
            found.calendar[which].append(calendar)
            found.business[which].append(business)
    return found


_Clock = tuple[int, int]
"""Calendar and business time."""


def _follower(desk: Desk) -> Callable[[int, int, int], tuple[_Clock, _Clock, _Clock]]:
    """Follows one ticket from its creation on, with its clocks running beside. What it looks at is looked up once."""
    history, ran, open_time = desk.history, desk.opened, desk.clock.open_time
    since, until, statuses = history.since, history.until, history.status
    paused, taken_up, resolved = desk.meaning.paused, desk.meaning.taken_up, desk.meaning.resolved
    not_yet = (NEVER, NEVER)

    def follow(start: int, stop: int, answered: int) -> tuple[_Clock, _Clock, _Clock]:
        answer = taken = done = not_yet
        total = opened = 0
        for index in range(start, stop):
            begin, end, status = since[index], until[index], statuses[index]
            runs = status not in paused
            if taken is not_yet and status in taken_up:
                taken = total, opened
            if done is not_yet and status in resolved:
                done = total, opened
            if begin <= answered and (end == NEVER or answered < end):
                answer = (total + answered - begin, opened + open_time(begin, answered)) if runs else (total, opened)
            if end == NEVER or not_yet not in (answer, taken, done):
                break
            if runs:
                total += end - begin
                opened += ran[index + 1] - ran[index]
        return answer, taken, done

    return follow


def _first_answer(moved_by: array[int], since: array[int], start: int, stop: int, answering: int, said: int) -> int:
    """When the answering party first moved the ticket after its creation, or wrote at ``said``; NEVER if neither."""
    for index in range(start + 1, stop):
        if moved_by[index] == answering:
            return since[index] if said == NEVER else min(since[index], said)
    return said


def _known(column: array[int], rows: Iterable[int]) -> list[int]:
    """What has happened, sorted by how long it took."""
    return sorted(filter(NEVER.__ne__, map(column.__getitem__, rows)))


def _missing(column: array[int]) -> Tally:
    return tally([n for n, value in enumerate(column) if value == NEVER])


def _names(statuses: frozenset[StatusName]) -> str:
    return ", ".join(sorted(statuses))


def _measures(
    desk: Desk, found: Times, reached: Sequence[Sequence[int]], sorted_business: Sequence[Sequence[int]]
) -> Table:
    text = desk.language.text
    names = (text("First answer"), text("Taken up"), text("Resolved"))
    rows: list[Sequence[Cell]] = []
    for which, name in enumerate(names):
        business = sorted_business[which]
        calendar = _known(found.calendar[which], range(len(found)))
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
                _missing(found.calendar[which]),
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


def _by(
    desk: Desk,
    found: Times,
    key: str,
    title: str,
    name: str,
    column: array[int],
    named: Callable[[int], str],
) -> Table:
    text = desk.language.text
    rows: list[Sequence[Cell]] = []
    for group, mine in largest_first(grouped(column, range(len(found)), named)):
        cells: list[Cell] = []
        for took in found.business:
            business = _known(took, mine)
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


def _by_month(desk: Desk, found: Times) -> Table:
    text = desk.language.text
    since = desk.history.since
    groups = grouped(found.start, range(len(found)), lambda start: desk.day(since[start]).isoformat()[:7])
    months = sorted(groups)
    medians = [[percentile(_known(took, groups[month]), 50) for month in months] for took in found.business]
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


def _rows(desk: Desk, found: Times) -> Table:
    text = desk.language.text
    history = desk.history

    def row(number: int) -> Sequence[Cell]:
        visit = history.visit(found.start[number])
        return (
            visit.ticket,
            desk.project_name(visit.project),
            desk.type_of(visit.ticket),
            desk.person_name(history.author(found.start[number])),
            desk.moment(visit.since),
            *(None if (value := took[number]) == NEVER else span(value) for took in (*found.business, *found.calendar)),
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
            Column("created", text("Created at"), Kind.TIME),
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
