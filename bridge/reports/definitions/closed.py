"""R6, who closed what: by person and party, and whether it was somebody else's request."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from bridge.reports.definitions.counting import distinct, grouped, largest_first, share, tally
from bridge.reports.desk import Desk
from bridge.reports.history import NEVER
from bridge.reports.values import Cell, Column, Figure, Kind, LazyRows, Report, Table
from bridge.store.schema import microseconds


def closed(desk: Desk) -> Report:
    """Moves into closing statuses within the period."""
    text = desk.language.text
    found = closings(desk)
    whose = [_whose(desk, index) for index in found]
    everything = range(len(found))
    others = [n for n in everything if whose[n] == "other"]
    known = [n for n in everything if whose[n] != "unknown"]
    statuses = ", ".join(sorted(desk.spelt(status) for status in desk.closed if desk.spelt(status)))
    return desk.report(
        "closed",
        counted=(
            text("Moves from an open status into one that closes ({statuses}), in the period.", statuses=statuses),
            text(
                "Author: whoever created the ticket, as its first activity shows. Where none shows it, the closing is "
                "in no share of those by another."
            ),
        ),
        figures=[
            Figure("closed", text("Closed"), Kind.COUNT, tally(everything)),
            Figure(
                "people",
                text("People"),
                Kind.COUNT,
                distinct(found, everything, lambda index: desk.history.person[index]),
            ),
            Figure(
                "by-another",
                text("By another than the author"),
                Kind.COUNT,
                tally(others),
                desk.language.plural(
                    "of {count} whose author is known", "of {count} whose author is known", len(known)
                ),
            ),
            Figure("share", text("Share"), Kind.SHARE, share(len(others), len(known))),
        ],
        tables=[
            _by(desk, found, whose, "by-status", text("By status"), (Column("status", text("Status")),), _status(desk)),
            _by(desk, found, whose, "by-party", text("By party"), (Column("party", text("Party")),), _party(desk)),
            _by(
                desk,
                found,
                whose,
                "by-person",
                text("By person"),
                (Column("person", text("Person")), Column("party", text("Party"))),
                lambda index: (desk.person_name(desk.history.person[index]), *_party(desk)(index)),
            ),
            _by(desk, found, whose, "by-type", text("By type"), (Column("type", text("Type")),), _type(desk)),
        ],
        rows=_rows(desk, found, whose),
    )


def closings(desk: Desk) -> array[int]:
    """Places in the history of visits that closed a ticket within the period, the newest first."""
    history, closing = desk.history, desk.closed
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    found = []
    for _, start, stop in history.lives():
        for index in range(start, stop):
            at = history.since[index]
            if at >= until:
                break
            was_open = index == start or history.status[index - 1] not in closing
            if at >= since and was_open and history.status[index] in closing:
                found.append((-at, index))
    return array("q", (index for _, index in sorted(found)))


def _whose(desk: Desk, index: int) -> str:
    """Whether the closer is the author: own, other, unknown."""
    author, closer = desk.history.author(desk.history.start_of(index)), desk.history.person[index]
    if NEVER in (author, closer):
        return "unknown"
    return "own" if author == closer else "other"


def _status(desk: Desk) -> Callable[[int], tuple[str, ...]]:
    return lambda index: (desk.status_name(desk.history.status[index]),)


def _party(desk: Desk) -> Callable[[int], tuple[str, ...]]:
    history = desk.history
    return lambda index: (desk.party_name(history.parties[history.party[index]]),)


def _type(desk: Desk) -> Callable[[int], tuple[str, ...]]:
    history = desk.history
    return lambda index: (desk.type_of(history.ticket_of(index)),)


def _by(
    desk: Desk,
    found: array[int],
    whose: Sequence[str],
    key: str,
    title: str,
    columns: Sequence[Column],
    named: Callable[[int], tuple[str, ...]],
) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), named)
    rows: list[Sequence[Cell]] = []
    for name, mine in largest_first(groups):
        others = tally(mine, lambda n: whose[n] == "other")
        known = sum(whose[n] != "unknown" for n in mine)
        rows.append((*name, tally(mine), share(len(mine), len(found)), others, share(others.total, known)))
    return Table(
        key,
        title,
        (
            *columns,
            Column("closed", text("Closed"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
            Column("by-another", text("By another"), Kind.COUNT),
            Column("by-another-share", text("By another, share"), Kind.SHARE),
        ),
        rows,
        none=text("Nothing was closed in this period."),
    )


def _rows(desk: Desk, found: array[int], whose: Sequence[str]) -> Table:
    text = desk.language.text
    history = desk.history
    answers = {"own": text("no"), "other": text("yes"), "unknown": text("not known")}

    def row(number: int) -> Sequence[Cell]:
        index = found[number]
        visit = history.visit(index)
        start = history.start_of(index)
        return (
            visit.decision,
            desk.moment(visit.since),
            visit.ticket,
            desk.project_name(visit.project),
            *_type(desk)(index),
            desk.status_name(history.status[index - 1]) if index > start else None,
            desk.status_name(visit.status),
            desk.person_name(visit.person),
            desk.party_name(visit.party),
            desk.person_name(history.author(start)),
            answers[whose[number]],
            visit.seq,
        )

    return Table(
        "closings",
        text("The closings"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("type", text("Type"), minor=True),
            Column("from", text("From"), minor=True),
            Column("to", text("Closed as")),
            Column("person", text("Closed by")),
            Column("party", text("Party"), minor=True),
            Column("author", text("Author")),
            Column("another", text("By another")),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("Nothing was closed in this period."),
    )
