"""R12, completeness and integrity: whether the bridge saw everything, and whether the record is whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from bridge.reports import events
from bridge.reports.definitions.counting import added, share, tally
from bridge.reports.desk import Desk
from bridge.reports.values import Cell, Column, Figure, Kind, LazyRows, Report, Table, Tally
from bridge.store.rows import Event
from bridge.store.schema import EntryKind

GAP = timedelta(hours=1)
"""From so long without a recorded cycle on the bridge counts as not having looked: status snapshots, which are
recorded even when nothing happened, come every 15 minutes by default and every hour at most in any sane setting."""

ASIDE = 2 * GAP
"""How far beside the period to look for the cycles around it: whatever has none within it is a gap."""

SHOWN = (
    EntryKind.START,
    EntryKind.STOP,
    EntryKind.MISSED,
    EntryKind.UNREADABLE,
    EntryKind.HOLD,
    EntryKind.BREAKER,
    EntryKind.PAUSE,
    EntryKind.RESUME,
    EntryKind.POLICY,
    EntryKind.SETTINGS,
    EntryKind.RESTORE,
    EntryKind.CLOCK,
    EntryKind.RETENTION,
    EntryKind.LEGAL_HOLD,
)


def completeness(desk: Desk) -> Report:
    """What was read, what was missed, and what proves the record."""
    text = desk.language.text
    snapshot = desk.source.snapshot
    since, until = desk.period.since, desk.period.until
    found = snapshot.events(SHOWN, since, until)[::-1]
    reading = snapshot.events([EntryKind.CYCLE, EntryKind.BEAT], since, until)[::-1]
    every = [*found, *reading]
    places = range(len(found), len(every))
    gaps = _gaps(desk)
    view = snapshot.overview()
    done, missed = _polls(desk, every, places)
    tail = snapshot.check_tail()
    whole = text("holds") if tail.first_bad is None else text("broken at entry {entry}", entry=tail.first_bad)
    lost = sum(((end - begin) for begin, end, _ in gaps), timedelta(0))
    return desk.report(
        "completeness",
        counted=(
            text(
                "Polls: requests for what has changed, done and missed, as the beats before each checkpoint tell. "
                "Those since the last checkpoint are counted with the last period, and have no entry yet."
            ),
            text(
                "Not looking: times of more than {duration} in which no cycle was recorded. What happened in them is "
                "read afterwards, as OpenProject tells it; only moves within its aggregation time may be merged.",
                duration=desk.language.duration(GAP),
            ),
            text(
                "The record: the hash chain is checked from the last checkpoint on, here and now. The command "
                "`bridge audit verify` checks all of it, each checkpoint's signature and every table."
            ),
            text(
                "Tickets not read, the mirror and the size of the record are told as they are now: they count no "
                "events of the period, and have no rows here."
            ),
        ),
        figures=[
            Figure("data", text("Read up to"), Kind.TIME, view.watermark),
            Figure("missed", text("Polls missed"), Kind.COUNT, missed, _of(desk, done.total + missed.total)),
            Figure("gaps", text("Not looking"), Kind.DURATION, lost, _times(desk, len(gaps))),
            Figure("unsynced", text("Tickets not read"), Kind.COUNT, view.unsynced, _tickets(desk, view.tickets)),
            Figure("chain", text("Record"), Kind.TEXT, whole, _entries(desk, view.entries)),
            Figure(
                "sealed",
                text("Last checkpoint"),
                Kind.TIME,
                view.checkpoint.at if view.checkpoint else None,
            ),
        ],
        tables=[
            _reading(desk, done, missed, every, places),
            _gap_table(desk, gaps),
            _mirror(desk),
            _proof(desk, tail.checked, whole),
            _kinds(desk, found),
        ],
        rows=_rows(desk, every),
        notices=[] if tail.first_bad is None else [text("The record is broken: see `bridge audit verify`.")],
    )


def _of(desk: Desk, count: int) -> str:
    return desk.language.plural("of {count}", "of {count}", count)


def _times(desk: Desk, count: int) -> str:
    return desk.language.plural("once", "{count} times", count) if count else ""


def _tickets(desk: Desk, count: int) -> str:
    return desk.language.plural("of {count} ticket", "of {count} tickets", count)


def _entries(desk: Desk, count: int) -> str:
    return desk.language.plural("{count} entry", "{count} entries", count)


def _polls(desk: Desk, every: Sequence[Event], places: range) -> tuple[Tally, Tally]:
    """Polls done and missed within the period."""
    snapshot = desk.source.snapshot
    done, missed = (_sum(every, places, EntryKind.BEAT, name) for name in ("polls_done", "polls_missed"))
    if desk.period.until > desk.now:
        done = Tally(done.total + int(snapshot.meta("polls_done") or 0), done.rows)
        missed = Tally(missed.total + int(snapshot.meta("polls_missed") or 0), missed.rows)
    return done, missed


def _sum(every: Sequence[Event], places: range, kind: EntryKind, name: str) -> Tally:
    """What events of a kind say in numbers; of what is true or false, how often it is true."""

    def amount(place: int) -> int:
        said = every[place].details.get(name) if every[place].kind is kind else None
        return int(said) if isinstance(said, int) else 0

    return added(places, amount)


def _gaps(desk: Desk) -> list[tuple[datetime, datetime, int | None]]:
    """Begin, end, and the entry of the cycle that ended each time without one. Nothing before the very first cycle.

    Whether a time is a gap is judged by all of it, also by what lies outside the period; what is inside counts.
    """
    snapshot, since, until = desk.source.snapshot, desk.period.since, desk.period.until
    cycles = snapshot.events([EntryKind.CYCLE], since - ASIDE, until + ASIDE)
    looks: list[tuple[datetime, int | None]] = [(cycle.at, cycle.seq) for cycle in cycles]
    first = snapshot.first_time(EntryKind.CYCLE)
    if first is not None and first < since - ASIDE:
        looks.insert(0, (since - ASIDE, None))
    looks.append((min(until + ASIDE, desk.now), None))
    return [
        (max(begin, since), min(end, until), seq)
        for (begin, _), (end, seq) in pairwise(looks)
        if end - begin > GAP and begin < until and end > since
    ]


def _reading(desk: Desk, done: Tally, missed: Tally, every: Sequence[Event], places: range) -> Table:
    text = desk.language.text

    def total(name: str) -> Tally:
        return _sum(every, places, EntryKind.CYCLE, name)

    polls = done.total + missed.total
    rows: list[Sequence[Cell]] = [
        (text("Polls done"), done, share(done.total, polls)),
        (text("Polls missed"), missed, share(missed.total, polls)),
        (text("Comparisons with every visible ticket"), total("snapshot"), None),
        (text("Tickets read"), total("read"), None),
        (text("Readings that failed"), total("unreadable"), None),
        (text("Tickets that went out of sight"), total("gone"), None),
        (text("Requests"), total("requests"), None),
    ]
    return Table(
        "reading",
        text("What was read"),
        (
            Column("what", text("What")),
            Column("count", text("Count"), Kind.COUNT),
            Column("share", text("Share"), Kind.SHARE),
        ),
        rows if polls or any(every[place].kind is EntryKind.CYCLE for place in places) else [],
        note=text("Cycles in which nothing happened are not recorded one by one: the beats count them."),
        none=text("No cycle was recorded in this period."),
    )


def _gap_table(desk: Desk, gaps: Sequence[tuple[datetime, datetime, int | None]]) -> Table:
    text = desk.language.text
    return Table(
        "gaps",
        text("Times without a look"),
        (
            Column("from", text("From"), Kind.TIME),
            Column("until", text("Until"), Kind.TIME),
            Column("duration", text("Duration"), Kind.DURATION),
            Column("entry", text("Ended by entry"), Kind.ENTRY),
        ),
        [(begin, end, end - begin, seq) for begin, end, seq in gaps],
        note=_since_when(desk),
        none=" ".join(filter(None, (_without_gaps(desk), _since_when(desk)))),
    )


def _without_gaps(desk: Desk) -> str:
    first = desk.source.snapshot.first_time(EntryKind.CYCLE)
    if first is None or first >= desk.period.until:
        return desk.language.text("No cycle was recorded in this period.")
    return desk.language.text("The bridge was looking all the time.")


def _since_when(desk: Desk) -> str:
    """A word on the time before the first cycle of all, in which nobody looked and nothing was missed."""
    first = desk.source.snapshot.first_time(EntryKind.CYCLE)
    if first is None or first < desk.period.since:
        return ""
    return desk.language.text("Its first cycle of all was on {time}.", time=desk.language.time(first))


def _mirror(desk: Desk) -> Table:
    """Whether the ledger's tickets are the server's, as of the last comparison."""
    text = desk.language.text
    view = desk.source.snapshot.overview()
    last, visible = view.last_snapshot, view.tickets - view.vanished
    listed = last.details.get("listed") if last else None
    rows: list[Sequence[Cell]] = [
        (text("Tickets that the last comparison listed"), listed),
        (text("Tickets that count as visible"), visible),
        (text("More (or fewer) than it listed"), visible - listed if isinstance(listed, int) else None),
        (text("Tickets out of sight"), view.vanished),
        (text("Tickets whose history could not be read"), view.unsynced),
        (text("Changes that no activity shows"), desk.source.snapshot.count_gaps()),
    ]
    return Table(
        "mirror",
        text("The mirror and the server"),
        (Column("what", text("What")), Column("count", text("Count"), Kind.COUNT)),
        rows,
        note=text("Last comparison: {time}.", time=desk.language.time(last.at)) if last else "",
    )


def _proof(desk: Desk, checked: int, whole: str) -> Table:
    text = desk.language.text
    sealed = desk.source.snapshot.checkpoints(desk.period.since, desk.period.until)
    rows: list[Sequence[Cell]] = [
        (each.at, each.size, text("yes") if each.timestamped else text("no"), each.root.hex()[:16])
        for each in sealed[::-1]
    ]
    return Table(
        "checkpoints",
        text("Checkpoints"),
        (
            Column("time", text("Time"), Kind.TIME),
            Column("entries", text("Entries"), Kind.COUNT),
            Column("timestamped", text("Time-stamped by others")),
            Column("root", text("Root")),
        ),
        rows,
        note=desk.language.plural(
            "The chain over {count} entry since the last checkpoint: {result}.",
            "The chain over {count} entries since the last checkpoint: {result}.",
            checked,
            result=whole,
        ),
        none=text("No checkpoint was signed in this period."),
    )


def _kinds(desk: Desk, found: Sequence[Event]) -> Table:
    text = desk.language.text
    by_kind: dict[str, list[int]] = {}
    for number, event in enumerate(found):
        by_kind.setdefault(events.name(event, desk.language), []).append(number)
    return Table(
        "by-kind",
        text("What else happened"),
        (Column("what", text("What")), Column("count", text("Count"), Kind.COUNT)),
        [(name, tally(mine)) for name, mine in sorted(by_kind.items())],
        none=text("Nothing out of the ordinary."),
    )


def _rows(desk: Desk, every: Sequence[Event]) -> Table:
    text = desk.language.text

    def row(number: int) -> Sequence[Cell]:
        event = every[number]
        return (
            event.at,
            events.name(event, desk.language),
            event.work_package,
            events.details(event, desk.language),
            event.seq,
        )

    return Table(
        "events",
        text("The events"),
        (
            Column("time", text("Time"), Kind.TIME),
            Column("what", text("What")),
            Column("ticket", text("Ticket"), Kind.TICKET),
            Column("detail", text("Detail")),
            Column("entry", text("Ledger entry"), Kind.ENTRY),
        ),
        LazyRows(len(every), row),
        note=text("Cycles and checkpoints, whose numbers are added up under what was read, come last."),
        none=text("Nothing out of the ordinary."),
    )
