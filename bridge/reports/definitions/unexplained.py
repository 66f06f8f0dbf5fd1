"""R8, without a reason: tickets that were rejected or put on hold, say, and nobody wrote why."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from datetime import timedelta

from bridge.reports.definitions.answers import Word, words
from bridge.reports.definitions.counting import grouped, largest_first, share, tally
from bridge.reports.desk import Desk
from bridge.reports.values import Cell, Column, Figure, Kind, LazyRows, Report, Table
from bridge.store.schema import microseconds


def unexplained(desk: Desk) -> Report:
    """Moves of the period that want a reason, and those that have none."""
    text = desk.language.text
    found, answers = _moves(desk)
    everything = range(len(found))
    without = [n for n in everything if answers[n] == "no"]
    known = [n for n in everything if answers[n] != "open"]
    within = desk.language.duration(desk.conventions.reason_within)
    of_known = desk.language.plural("of {count} move", "of {count} moves", len(known))
    return desk.report(
        "without-reason",
        counted=(
            text("Moves in the period into {statuses}.", statuses=", ".join(sorted(desk.conventions.reasons)) or "-"),
            text(
                "A reason: a comment by somebody of the mover's party, at most {within} before or after the move. "
                "Where the party is not known, only the mover's own comment counts.",
                within=within,
            ),
        ),
        figures=[
            Figure("moves", text("Moves"), Kind.COUNT, tally(everything)),
            Figure("without", text("Without a reason"), Kind.COUNT, tally(without), of_known),
            Figure("share", text("Share"), Kind.SHARE, share(len(without), len(known)), of_known),
            Figure("open", text("There is still time"), Kind.COUNT, tally(everything, lambda n: answers[n] == "open")),
        ],
        tables=[
            _by(
                desk,
                found,
                answers,
                "by-status",
                text("By status"),
                (Column("status", text("Status")),),
                lambda index: (desk.status_name(desk.history.status[index]),),
            ),
            _by(
                desk,
                found,
                answers,
                "by-person",
                text("By person"),
                (Column("person", text("Person")), Column("party", text("Party"))),
                lambda index: (
                    desk.person_name(desk.history.person[index]),
                    desk.party_name(desk.history.parties[desk.history.party[index]]),
                ),
            ),
        ],
        rows=_rows(desk, found, answers),
        notices=[]
        if desk.conventions.reasons
        else [text("No status is said to want a reason: write `reasons` in reports.yaml.")],
    )


def _moves(desk: Desk) -> tuple[array[int], list[str]]:
    """Places of the visits that want a reason, the newest first; and of each: yes, no, or open."""
    history, wanting = desk.history, desk.ids(desk.conventions.reasons)
    since, until = microseconds(desk.period.since), microseconds(desk.period.until)
    places: list[tuple[int, int, int]] = []
    for number, start, stop in history.lives():
        for index in range(start, stop):
            at = history.since[index]
            if at >= until:
                break
            if at >= since and history.status[index] in wanting:
                places.append((-at, index, history.ticket[number]))
    places.sort()
    said = words(desk, frozenset(ticket for *_, ticket in places))
    within = desk.conventions.reason_within // timedelta(microseconds=1)
    now = microseconds(desk.source.watermark or desk.now)
    answers = [_reason(desk, index, said.get(ticket, ()), within, now) for _, index, ticket in places]
    return array("q", (index for _, index, _ in places)), answers


def _reason(desk: Desk, index: int, said: Sequence[Word], within: int, now: int) -> str:
    history = desk.history
    at, person = history.since[index], history.person[index]
    party = history.parties[history.party[index]]
    for word in said:
        ours = word.person == person or (party is not None and word.party == party)
        if ours and abs(word.at - at) <= within:
            return "yes"
    return "open" if now <= at + within else "no"


def _by(
    desk: Desk,
    found: array[int],
    answers: Sequence[str],
    key: str,
    title: str,
    columns: Sequence[Column],
    named: Callable[[int], tuple[str, ...]],
) -> Table:
    text = desk.language.text
    rows: list[Sequence[Cell]] = []
    for name, mine in largest_first(grouped(found, range(len(found)), named)):
        without = tally(mine, lambda n: answers[n] == "no")
        known = sum(answers[n] != "open" for n in mine)
        rows.append((*name, tally(mine), without, share(without.total, known)))
    return Table(
        key,
        title,
        (
            *columns,
            Column("moves", text("Moves"), Kind.COUNT),
            Column("without", text("Without a reason"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
        ),
        rows,
        none=text("No such move was made in this period."),
    )


def _rows(desk: Desk, found: array[int], answers: Sequence[str]) -> Table:
    text = desk.language.text
    history = desk.history
    said = {"yes": text("given"), "no": text("none"), "open": text("there is still time")}

    def row(number: int) -> Sequence[Cell]:
        visit = history.visit(found[number])
        return (
            visit.decision,
            desk.moment(visit.since),
            visit.ticket,
            desk.project_name(visit.project),
            desk.status_name(visit.status),
            desk.person_name(visit.person),
            desk.party_name(visit.party),
            said[answers[number]],
            visit.seq,
        )

    return Table(
        "moves",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("to", text("To")),
            Column("person", text("Person")),
            Column("party", text("Party")),
            Column("reason", text("Reason")),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        LazyRows(len(found), row),
        none=text("No such move was made in this period."),
    )
