"""R2, reverts: what the bridge put back, how quickly, and what it could not put back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bridge.reports.definitions.counting import added, grouped, largest_first, percentile, share, tally
from bridge.reports.desk import Desk
from bridge.reports.values import Chart, Column, Figure, Kind, Report, Series, Shape, Table
from bridge.store.rows import Attempt

_WAITED = (
    timedelta(seconds=10),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(days=1),
)


def reverts(desk: Desk) -> Report:
    """What was to be put back, what became of it, and how long illegal moves stood."""
    text = desk.language.text
    found = desk.source.snapshot.attempts(desk.period.since, desk.period.until, desk.projects)
    everything = range(len(found))
    states = grouped(found, everything, _state)
    done = [*states.get("done", ()), *states.get("unexplained", ())]
    waited = sorted(_waited(found[i]) for i in done)
    return desk.report(
        "reverts",
        counted=(
            text(
                "Illegal moves that the bridge set out to put back in this period, each once, however often it tried."
            ),
            text(
                "An illegal move stood from the latest moment at which it may have been made until OpenProject "
                "accepted the move back. p50 and p95: half, and 95 in 100, stood no longer."
            ),
            text(
                "Lost race: somebody else moved the ticket first, so there was nothing left to put back. That is no "
                "failure; the bridge never overwrites what a person has just done."
            ),
        ),
        figures=[
            Figure("tried", text("To be put back"), Kind.COUNT, tally(everything)),
            Figure("done", text("Put back"), Kind.COUNT, tally(done), _of(desk, found)),
            Figure("p50", text("Stood for, p50"), Kind.DURATION, percentile(waited, 50)),
            Figure("p95", text("Stood for, p95"), Kind.DURATION, percentile(waited, 95)),
            Figure("max", text("Stood for, longest"), Kind.DURATION, waited[-1] if waited else None),
            Figure("lost", text("Lost race"), Kind.COUNT, tally(states.get("lost", [])), _of(desk, found)),
        ],
        tables=[_outcomes(desk, found), _times(desk, found, done), _by_rule(desk, found)],
        rows=_rows(desk, found),
    )


def _of(desk: Desk, found: Sequence[Attempt]) -> str:
    return desk.language.plural("of {count}", "of {count}", len(found))


def _state(attempt: Attempt) -> str:
    """What became of it: done, unexplained, open, lost, refused, given up."""
    match attempt.state:
        case "explained":
            return "done"
        case _ if attempt.reverted_at is not None:
            return "unexplained"
        case "superseded":
            return "lost"
        case "refused":
            return "refused"
        case "given_up":
            return "given-up"
        case _:
            return "open"


def _state_name(desk: Desk, state: str) -> str:
    text = desk.language.text
    return {
        "done": text("put back and explained"),
        "unexplained": text("put back, not explained"),
        "lost": text("lost race"),
        "refused": text("refused by OpenProject"),
        "given-up": text("given up: not proven well enough"),
        "open": text("still to be done"),
    }[state]


def attempt_outcome(desk: Desk, attempt: Attempt) -> str:
    """What became of a revert, in a few words."""
    return _state_name(desk, _state(attempt))


def _waited(attempt: Attempt) -> timedelta:
    assert attempt.reverted_at is not None  # asked of those that were put back only
    return max(attempt.reverted_at - attempt.moved_at, timedelta(0))


def _outcomes(desk: Desk, found: Sequence[Attempt]) -> Table:
    text = desk.language.text
    states = grouped(found, range(len(found)), _state)
    rows = [
        (
            _state_name(desk, state),
            tally(mine := states.get(state, [])),
            share(len(mine), len(found)),
            added(mine, lambda i: found[i].conflicts),
        )
        for state in ("done", "unexplained", "lost", "refused", "given-up", "open")
    ]
    return Table(
        "outcomes",
        text("What became of them"),
        (
            Column("outcome", text("Outcome")),
            Column("reverts", text("Moves"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
            Column("conflicts", text("Conflicts"), Kind.COUNT),
        ),
        rows if found else [],
        note=text("A conflict: somebody changed the ticket between reading and writing, and the bridge looked again."),
        none=text("Nothing was to be put back in this period."),
    )


def _times(desk: Desk, found: Sequence[Attempt], done: Sequence[int]) -> Table:
    text = desk.language.text
    bounds = [*_WAITED, timedelta.max]

    def bucket(attempt: Attempt) -> int:
        return next(number for number, bound in enumerate(bounds) if _waited(attempt) <= bound)

    groups = grouped(found, done, bucket)
    names = [
        text("longer") if bound is timedelta.max else text("up to {duration}", duration=desk.language.duration(bound))
        for bound in bounds
    ]
    counts = [groups.get(number, []) for number in range(len(bounds))]
    return Table(
        "times",
        text("How long illegal moves stood"),
        (
            Column("stood", text("Stood for")),
            Column("reverts", text("Moves"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
        ),
        [(name, tally(mine), share(len(mine), len(done))) for name, mine in zip(names, counts, strict=True)]
        if done
        else [],
        charts=[
            Chart(
                "times",
                text("How long illegal moves stood"),
                Shape.COLUMNS,
                text("Stood for"),
                names,
                [Series(text("Moves"), [len(mine) for mine in counts])],
            )
        ]
        if done
        else (),
        none=text("Nothing was put back in this period."),
    )


def _by_rule(desk: Desk, found: Sequence[Attempt]) -> Table:
    text = desk.language.text
    groups = grouped(found, range(len(found)), lambda a: a.rule or "")
    rows = []
    for rule, mine in largest_first(groups):
        done = [i for i in mine if found[i].reverted_at is not None]
        waited = sorted(_waited(found[i]) for i in done)
        rows.append(
            (
                rule,
                tally(mine),
                tally(done),
                percentile(waited, 50),
                percentile(waited, 95),
                waited[-1] if waited else None,
            )
        )
    return Table(
        "by-rule",
        text("By rule"),
        (
            Column("rule", text("Rule")),
            Column("reverts", text("Moves"), Kind.COUNT),
            Column("put-back", text("Put back"), Kind.COUNT),
            Column("p50", text("p50"), Kind.DURATION),
            Column("p95", text("p95"), Kind.DURATION),
            Column("max", text("Longest"), Kind.DURATION),
        ),
        rows,
        none=text("Nothing was to be put back in this period."),
    )


def _rows(desk: Desk, found: Sequence[Attempt]) -> Table:
    text = desk.language.text
    return Table(
        "reverts",
        text("The moves"),
        (
            Column("decision", text("Decision"), Kind.DECISION),
            Column("time", text("Moved"), Kind.TIME),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("project", text("Project"), minor=True),
            Column("person", text("Person")),
            Column("rule", text("Rule"), minor=True),
            Column("from", text("Moved to")),
            Column("to", text("Put back to")),
            Column("outcome", text("Outcome")),
            Column("stood", text("Stood for"), Kind.DURATION),
            Column("reverted", text("Put back at"), Kind.TIME, minor=True),
            Column("explained", text("Explained at"), Kind.TIME, minor=True),
            Column("conflicts", text("Conflicts"), Kind.COUNT, minor=True),
            Column("detail", text("Detail"), minor=True),
            Column("entry", text("Ledger entry"), Kind.ENTRY, minor=True),
        ),
        [
            (
                attempt.decision,
                attempt.moved_at,
                attempt.work_package,
                desk.project_name(attempt.project),
                desk.person_name(attempt.person),
                attempt.rule,
                desk.status_name(attempt.origin),
                desk.status_name(attempt.target),
                attempt_outcome(desk, attempt),
                _waited(attempt) if attempt.reverted_at is not None else None,
                attempt.reverted_at,
                attempt.explained_at,
                attempt.conflicts,
                desk.said(attempt.detail),
                attempt.seq,
            )
            for attempt in found
        ],
        none=text("Nothing was to be put back in this period."),
    )
