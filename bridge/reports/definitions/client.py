"""C1 and C2, for a client: where my requests wait, and on whom; which of my moves were put back, why, what instead."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from bridge.errors import ConfigError
from bridge.reports.cells import clipped, harmless
from bridge.reports.definitions.ages import open_at, waits_on
from bridge.reports.definitions.attributes import Attribute, attributes
from bridge.reports.definitions.closed import closings
from bridge.reports.definitions.counting import distinct, grouped, largest_first, percentile, span, tally
from bridge.reports.definitions.reverts import attempt_outcome
from bridge.reports.desk import Desk
from bridge.reports.values import Cell, Column, Figure, Kind, LazyRows, Report, Table

LONGEST = 200
"""Characters of the names in a definition."""


def my_requests(desk: Desk) -> Report:
    """Open tickets that a person created, or of a project. Raises ConfigError when neither is given."""
    _scope(desk, "my-requests")
    text = desk.language.text
    history, at = desk.history, desk.known_until
    found = array("q", (index for index in open_at(desk, at) if _is_mine(desk, index)))
    groups = grouped(found, range(len(found)), lambda index: waits_on(desk, history.status[index]))
    stays = sorted(at - history.since[index] for index in found)
    closed_lately = _closed_in_period(desk)
    subject = _subjects(desk, [*found, *closed_lately])
    return desk.report(
        "my-requests",
        counted=(
            text("Open tickets at the end of the period or of the data: {whose}.", whose=_whose(desk)),
            text("On whom a ticket waits is said by the status that it stands in."),
            text("Closed in the period: its rows are the table of that name."),
        ),
        figures=[
            Figure("open", text("Open requests"), Kind.COUNT, tally(range(len(found)))),
            *(
                Figure(f"waits-{number}", text("Waiting on {party}", party=name), Kind.COUNT, tally(mine))
                for number, (name, mine) in enumerate(largest_first(groups))
            ),
            Figure("median", text("In status, median"), Kind.DURATION, span(percentile(stays, 50))),
            Figure("closed", text("Closed in the period"), Kind.COUNT, len(closed_lately)),
        ],
        tables=[_by_status(desk, found), _closed(desk, closed_lately, subject)],
        rows=_requests(desk, found, at, subject),
        business_hours=True,
        rows_first=True,
    )


def my_reverted_moves(desk: Desk) -> Report:
    """Moves of a person, or of a project's people, that were put back. Raises ConfigError when neither is given."""
    _scope(desk, "my-reverted-moves")
    text = desk.language.text
    snapshot = desk.source.snapshot
    since, until = desk.period.since, desk.period.until
    found = [
        ruled
        for ruled in snapshot.ruled(["illegal"], since, until, desk.projects)
        if ruled.reverted_at is not None and (desk.person is None or ruled.person == desk.person)
    ]
    instead = snapshot.alternatives(found)
    attempts = {attempt.seq: attempt for attempt in snapshot.attempts(projects=desk.projects)}
    everything = range(len(found))
    groups = grouped(found, everything, lambda ruled: (ruled.rule or "", ruled.sentence.get(desk.language.code, "")))
    rows: list[Sequence[Cell]] = [
        (
            ruled.id,
            ruled.latest,
            ruled.work_package,
            desk.person_name(ruled.person),
            desk.status_name(ruled.target, ruled.target_name),
            desk.status_name(attempts[ruled.action].target) if ruled.action in attempts else None,
            desk.reason(ruled),
            ", ".join(instead.get(ruled.id, ())) or text("write a comment"),
            attempt_outcome(desk, attempts[ruled.action]) if ruled.action in attempts else None,
            ruled.seq,
        )
        for ruled in found
    ]
    return desk.report(
        "my-reverted-moves",
        counted=(
            text("Moves that the bridge put back in the period: {whose}.", whose=_whose(desk)),
            text(
                "Instead: where this person may move the ticket from the status before. A comment is always possible; "
                "one with the word {word} contests the decision.",
                word=desk.policy.appeal_word,
            ),
        ),
        figures=[
            Figure("put-back", text("Put back"), Kind.COUNT, tally(everything)),
            Figure("tickets", text("Tickets"), Kind.COUNT, distinct(found, everything, lambda r: r.work_package)),
            Figure("rules", text("Rules"), Kind.COUNT, distinct(found, everything, lambda r: r.rule or "")),
        ],
        tables=[
            Table(
                "by-rule",
                text("By rule"),
                (
                    Column("rule", text("Rule")),
                    Column("sentence", text("What it says")),
                    Column("put-back", text("Put back"), Kind.COUNT),
                ),
                [(*name, tally(mine)) for name, mine in largest_first(groups)],
                none=text("No move was put back in this period."),
            )
        ],
        rows=Table(
            "moves",
            text("The moves"),
            (
                Column("decision", text("Decision"), Kind.DECISION),
                Column("time", text("Time"), Kind.TIME),
                Column("ticket", text("Ticket"), Kind.TICKET),
                Column("person", text("Person"), minor=True),
                Column("from", text("Moved to")),
                Column("to", text("Put back to")),
                Column("why", text("Why")),
                Column("instead", text("Instead")),
                Column("outcome", text("Outcome"), minor=True),
                Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
            ),
            rows,
            none=text("No move was put back in this period."),
        ),
        rows_first=True,
    )


def _scope(desk: Desk, name: str) -> None:
    if desk.person is None and desk.projects is None:
        raise ConfigError(f"the report {name} is about somebody: add --person NUMBER or --project IDENTIFIER")


def _whose(desk: Desk) -> str:
    parts = []
    if desk.person is not None:
        parts.append(desk.person_name(desk.person))
    if desk.projects is not None:
        parts.append(", ".join(sorted(desk.project_name(project) for project in desk.projects)))
    # What people wrote stands in a sentence here, where no cell cleans it.
    return clipped(harmless(", ".join(parts)), LONGEST)


def _is_mine(desk: Desk, index: int) -> bool:
    return desk.person is None or desk.history.author(desk.history.start_of(index)) == desk.person


def _closed_in_period(desk: Desk) -> array[int]:
    """Places in the history of the visits that closed a ticket within the period, the newest first."""
    return array("q", (index for index in closings(desk) if _is_mine(desk, index)))


def _by_status(desk: Desk, found: array[int]) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), lambda index: desk.history.status[index])
    return Table(
        "by-status",
        text("By status"),
        (
            Column("status", text("Status")),
            Column("waits-on", text("Waits on")),
            Column("open", text("Open"), Kind.COUNT),
        ),
        [
            (desk.status_name(status), waits_on(desk, status), tally(groups[status]))
            for status in sorted(groups, key=lambda status: (desk.status_order.get(status, -1), status))
        ],
        none=text("No request is open."),
    )


def _subjects(desk: Desk, places: Sequence[int]) -> Attribute:
    tickets = {desk.history.ticket_of(index) for index in places}
    return attributes(desk.source.snapshot, {"subject": desk.conventions.labels.subject}, tickets)["subject"]


def _closed(desk: Desk, found: array[int], subject: Attribute) -> Table:
    text = desk.language.text

    def row(number: int) -> Sequence[Cell]:
        visit = desk.history.visit(found[number])
        return (
            visit.ticket,
            subject.last(visit.ticket),
            desk.moment(visit.since),
            desk.status_name(visit.status),
            desk.person_name(visit.person),
            visit.decision,
            visit.seq,
        )

    return Table(
        "closed",
        text("Closed in the period"),
        (
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("subject", text("Subject")),
            Column("time", text("Time"), Kind.TIME),
            Column("to", text("Closed as")),
            Column("person", text("Closed by")),
            Column("decision", text("Decision"), Kind.DECISION, minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("Nothing was closed in this period."),
    )


def _requests(desk: Desk, found: array[int], at: int, subject: Attribute) -> Table:
    text = desk.language.text
    history, clock = desk.history, desk.clock

    def row(number: int) -> Sequence[Cell]:
        index = found[number]
        visit = history.visit(index)
        return (
            visit.ticket,
            subject.last(visit.ticket),
            desk.status_name(visit.status),
            waits_on(desk, visit.status),
            desk.moment(visit.since),
            span(at - visit.since),
            span(clock.open_time(visit.since, at)),
            desk.moment(history.since[history.start_of(index)]),
            visit.decision,
            visit.seq,
        )

    return Table(
        "requests",
        text("The requests"),
        (
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("subject", text("Subject")),
            Column("status", text("Status")),
            Column("waits-on", text("Waits on")),
            Column("since", text("Since"), Kind.TIME),
            Column("in-status", text("In status"), Kind.DURATION),
            Column("in-status-business", text("Business hours"), Kind.WORKTIME, minor=True),
            Column("created", text("Created at"), Kind.TIME, minor=True),
            Column("decision", text("Decision"), Kind.DECISION, minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("No request is open."),
    )
