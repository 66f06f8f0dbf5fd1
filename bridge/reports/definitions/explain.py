"""One ticket's whole life: every move with its verdict and place in the ledger, every revert, every word about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.domain.model import WorkPackageId
from bridge.errors import ConfigError
from bridge.reports import events
from bridge.reports.definitions.counting import tally
from bridge.reports.definitions.reverts import attempt_outcome
from bridge.reports.definitions.violations import origin_name, outcome
from bridge.reports.desk import Desk
from bridge.reports.period import Period
from bridge.reports.titles import Title
from bridge.reports.values import Cell, Column, Figure, Kind, Report, Table
from bridge.store.rows import Life, Ruled


def explain(desk: Desk, work_package: WorkPackageId) -> Report:
    """Everything the ledger holds about a ticket. Raises ConfigError for one that the bridge has never seen."""
    life = desk.source.snapshot.life(work_package)
    if life is None:
        raise ConfigError(
            f"ticket {work_package} is not in the ledger: the bridge has never seen it. Check the number, and that the "
            "service account is a member of its project"
        )
    text = desk.language.text
    desk = replace(desk, period=_lifetime(desk, life))
    current = [index for index, ruled in enumerate(life.decisions) if ruled.current]
    illegal = [index for index in current if life.decisions[index].verdict == "illegal"]
    return desk.report(
        "explain",
        title=Title(text("Ticket {number}", number=f"#{work_package}"), _where(desk, life)),
        counted=(
            text("Every status change of this ticket, with the verdict that counts and those it replaced."),
            text(
                "A verdict is replaced when the facts turn out to be other than they seemed; both stay in the ledger."
            ),
        ),
        figures=[
            Figure("moves", text("Status changes"), Kind.COUNT, tally(current)),
            Figure("illegal", text("Illegal moves"), Kind.COUNT, tally(illegal)),
            Figure(
                "put-back",
                text("Put back"),
                Kind.COUNT,
                tally([i for i in illegal if life.decisions[i].reverted_at is not None]),
            ),
            Figure("seen", text("First seen"), Kind.TIME, life.first_seen),
        ],
        tables=[_reverts(desk, life), _explanations(desk, life), _events(desk, life)],
        rows=_moves(desk, life),
        rows_first=True,
    )


def _lifetime(desk: Desk, life: Life) -> Period:
    zone = desk.conventions.zone
    moments = [*(ruled.latest for ruled in life.decisions), life.first_seen, desk.now]
    return Period(min(moments).astimezone(zone).date(), max(moments).astimezone(zone).date(), zone)


def _where(desk: Desk, life: Life) -> str:
    text = desk.language.text
    parts = [part for part in (life.type, life.project) if part]
    where = " \N{MIDDLE DOT} ".join(parts)
    if life.ticket.vanished:
        return text("{where}. Out of sight: {reason}.", where=where, reason=life.reason or text("unknown"))
    if not life.status:
        return text("{where}.", where=where)
    return text("{where}. Stands in {status}.", where=where, status=life.status)


def _moves(desk: Desk, life: Life) -> Table:
    text = desk.language.text
    return Table(
        "moves",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Time"), Kind.TIME),
            Column("person", text("Person")),
            Column("party", text("Party")),
            Column("from", text("From")),
            Column("to", text("To")),
            Column("outcome", text("Outcome")),
            Column("rule", text("Rule"), minor=True),
            Column("reason", text("Why")),
            Column("instead", text("Possible instead"), minor=True),
            Column("policy", text("Policy version"), minor=True),
            Column("decided", text("Decided at"), Kind.TIME, minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY),
        ),
        [_move(desk, life, ruled) for ruled in life.decisions],
        none=text("Its history has not been read yet."),
    )


def _move(desk: Desk, life: Life, ruled: Ruled) -> Sequence[Cell]:
    text = desk.language.text
    said = text("the bridge's own move") if ruled.own else outcome(desk, ruled)
    return (
        ruled.id,
        ruled.latest,
        desk.person_name(ruled.person),
        desk.party_name(ruled.party, own=ruled.own),
        origin_name(desk, ruled),
        desk.status_name(ruled.target, ruled.target_name),
        said if ruled.current else text("replaced: {outcome}", outcome=said),
        ruled.rule,
        "" if ruled.own else desk.reason(ruled),
        ", ".join(life.alternatives.get(ruled.id, ())) or None,
        ruled.policy[:12],
        ruled.decided_at,
        ruled.seq,
    )


def _reverts(desk: Desk, life: Life) -> Table:
    text = desk.language.text
    return Table(
        "reverts",
        text("Put back"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("from", text("Moved to")),
            Column("to", text("Put back to")),
            Column("outcome", text("Outcome")),
            Column("intended", text("Intended at"), Kind.TIME, minor=True),
            Column("reverted", text("Put back at"), Kind.TIME),
            Column("explained", text("Explained at"), Kind.TIME),
            Column("conflicts", text("Conflicts"), Kind.COUNT, minor=True),
            Column("detail", text("Detail"), minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        [
            (
                attempt.decision,
                desk.status_name(attempt.origin),
                desk.status_name(attempt.target),
                attempt_outcome(desk, attempt),
                attempt.intended_at,
                attempt.reverted_at,
                attempt.explained_at,
                attempt.conflicts,
                desk.said(attempt.detail),
                attempt.seq,
            )
            for attempt in life.attempts
        ],
        none=text("Nothing on this ticket was ever to be put back."),
    )


def _explanations(desk: Desk, life: Life) -> Table:
    text = desk.language.text
    return Table(
        "explanations",
        text("What was explained"),
        (Column("decision", text("Decision"), Kind.DECISION), Column("comment", text("Comment in the ticket"))),
        [(decision, comment) for decision, comment in life.explanations.items()],
        none=text("Nothing had to be explained."),
    )


def _events(desk: Desk, life: Life) -> Table:
    text = desk.language.text
    return Table(
        "events",
        text("What else was recorded"),
        (
            Column("time", text("Time"), Kind.TIME),
            Column("kind", text("What")),
            Column("detail", text("Detail")),
            Column("entry", text("Ledger entry"), Kind.ENTRY),
        ),
        [
            (event.at, events.name(event, desk.language), events.details(event, desk.language), event.seq)
            for event in life.events
        ],
        none=text("Nothing else was recorded about this ticket."),
    )
