"""Taking texts out of the record without breaking a proof: redaction, retention, and the legal holds that forbid both.

An erased entry keeps its commitment, so that its leaf, the chain and every signed root stay what they were. What must
remain of it is told by a new entry that stands for it. The old bytes are then overwritten (``scrub``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, func, insert, null, select, update
from sqlalchemy.exc import DBAPIError

from bridge.domain.model import UserId, WorkPackageId
from bridge.errors import ConfigError, RetryLater
from bridge.store import schema
from bridge.store.database import believing, translated
from bridge.store.ledger import Ledger
from bridge.store.personal import Passage, Person, person
from bridge.store.projection import iso, rebuild
from bridge.store.record import Entry, entries, stored_tree
from bridge.store.schema import EVENTS, EntryKind, instant, microseconds

RETIRABLE: Mapping[str, frozenset[EntryKind]] = {
    "ticket": frozenset({EntryKind.TICKET, EntryKind.VANISHED}),
    "activity": frozenset({EntryKind.ACTIVITY}),
    "decision": frozenset({EntryKind.DECISION, EntryKind.INTENT, EntryKind.CLAIM, EntryKind.OUTCOME}),
    "watermark": frozenset({EntryKind.WATERMARK}),
    "roles_read": frozenset({EntryKind.ROLES_READ}),
    "beat": frozenset({EntryKind.BEAT}),
    **{kind.value: frozenset({kind}) for kind in sorted(EVENTS - {EntryKind.POLICY, EntryKind.RESTORE})},
}
"""What retention periods can be set for, and the kinds of entries that go together. The rest holds up what remains."""

ALIGNED = 256
"""Entries are cut off in whole stored tiles, so that proofs over the rest need nothing that is gone."""

_RANGES = 1_000
"""Ranges that one retention entry names."""

_PAGE = 10_000
"""Entries that are held in memory at once."""

_OF_THE_TICKET = frozenset(kind.value for kind in RETIRABLE["ticket"])
_SUBSTITUTES = frozenset({EntryKind.REDACTION.value, EntryKind.CARRIED.value})


# --- Legal hold -----------------------------------------------------------------------------------------------------


def hold(ledger: Ledger, work_package: WorkPackageId | None, *, by: str, reason: str) -> None:
    """Forbid to erase anything about a ticket, or (None) anything at all. No news where it is held already."""
    _hold(ledger, work_package, True, by, reason)


def release(ledger: Ledger, work_package: WorkPackageId | None, *, by: str, reason: str) -> None:
    """End a hold. No news where there is none."""
    _hold(ledger, work_package, False, by, reason)


def _hold(ledger: Ledger, work_package: WorkPackageId | None, held: bool, by: str, reason: str) -> None:
    writer = ledger.writer
    with ledger.batch():
        if (work_package in writer.projection.holds) != held:
            payload = {"at": iso(writer.at()), "by": by, "held": held, "reason": reason}
            writer.append(EntryKind.LEGAL_HOLD, work_package, payload)


# --- Redaction ------------------------------------------------------------------------------------------------------


def redact_person(ledger: Ledger, id_: UserId, *, by: str, reason: str) -> int:
    """Take a person's names and what they wrote out of the record. Returns how many entries that concerned.

    Raises ConfigError where a legal hold forbids it. Their number stays, and their moves with it.
    """
    with ledger.batch(), believing(ledger.writer.database.url):
        ledger.writer.flush()
        return _redact(ledger, person(ledger.writer.connection, id_), by, reason)


def redact_text(ledger: Ledger, text: str, *, by: str, reason: str) -> int:
    """Take a text out of the record, wherever it stands. Returns how many entries that concerned.

    Raises ConfigError where a legal hold forbids it, and for a text of less than three characters.
    """
    if len(text) < 3:
        raise ConfigError("a text of less than three characters stands everywhere: name a longer one")
    with ledger.batch(), believing(ledger.writer.database.url):
        ledger.writer.flush()
        return _redact(ledger, Passage(text), by, reason)


def _redact(ledger: Ledger, what: Person | Passage, by: str, reason: str) -> int:
    found: list[tuple[Entry, str, Mapping[str, Any]]] = []
    for page in _pages(ledger):
        for entry in page:
            kind, payload = _told(entry)
            rest = what.without(kind, payload)
            if rest != payload:
                found.append((entry, kind, rest))
    holds = ledger.writer.projection.holds
    tickets = {entry.work_package for entry, _, _ in found if entry.work_package is not None}
    held = sorted(tickets & holds.keys())
    if None in holds or held:
        what_is = "everything is" if None in holds else f"ticket {', '.join(map(str, held))} is"
        raise ConfigError(f"{what_is} under legal hold: nothing was erased. Release it first")
    for entry, kind, rest in found:
        _stand_in(ledger, EntryKind.REDACTION, entry, {"by": by, "kind": kind, "payload": rest, "reason": reason})
    if found:
        _reduce(ledger, [entry for entry, _, _ in found])
        _derive(ledger)
    return len(found)


def _pages(ledger: Ledger) -> Iterator[list[Entry]]:
    """All entries that are not erased, in order, so many at a time that they can be changed on the way."""
    connection, entry = ledger.writer.connection, schema.entry.c
    for first in range(1, ledger.writer.size + 1, _PAGE):
        page = select(schema.entry).where(entry.seq >= first, entry.seq < first + _PAGE, entry.payload.is_not(None))
        yield list(entries(connection, page.order_by(entry.seq)))


def _told(entry: Entry) -> tuple[str, dict[str, Any]]:
    """Kind and payload that an entry stands for."""
    payload = orjson.loads(entry.payload or "{}")
    return (payload["kind"], payload["payload"]) if entry.kind in _SUBSTITUTES else (entry.kind, payload)


def _stand_in(ledger: Ledger, kind: EntryKind, entry: Entry, said: Mapping[str, object]) -> None:
    of = entry.stands_for or entry.seq
    payload = {"at": iso(ledger.writer.at()), "erases": entry.seq, "of": of, **said}
    ledger.writer.append(kind, entry.work_package, payload, stands_for=of)


def _reduce(ledger: Ledger, erased: Sequence[Entry]) -> None:
    """Leave nothing of entries but their commitments."""
    writer, entry = ledger.writer, schema.entry.c
    writer.flush()
    writer.connection.execute(
        update(schema.entry)
        .where(entry.seq == bindparam("of"))
        .values(payload=null(), salt=null(), commitment=bindparam("kept")),
        [{"of": each.seq, "kept": each.committed()} for each in erased],
    )


def _derive(ledger: Ledger) -> None:
    """The tables anew, from what the entries still tell."""
    writer = ledger.writer
    writer.flush()
    for table in schema.PROJECTIONS:
        writer.connection.execute(delete(table))
    rebuild(writer.connection, writer.connection)
    writer.reload()


# --- Retention ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retired:
    """What a run of retention did."""

    erased: int
    cut: int
    """The last entry that was cut off altogether; 0 when none was."""


def retire(ledger: Ledger, periods: Mapping[str, timedelta], *, by: str, cut: bool = False) -> Retired:
    """Erase what is older than the period of its kind (``RETIRABLE``), except under legal hold.

    What is about a ticket is kept until the whole ticket has been quiet for that long, and a ticket's own entries
    until it has vanished. ``cut`` also drops the oldest entries altogether, those older than every period: what must
    outlive them is carried over to new entries, and the record begins at an anchor that the chain holds. It does
    nothing where more would be carried over than dropped.

    Raises ConfigError for a kind without retention.
    """
    unknown = sorted(periods.keys() - RETIRABLE.keys())
    if unknown:
        raise ConfigError(
            f"there is no retention for {', '.join(unknown)}; there is for {', '.join(sorted(RETIRABLE))}"
        )
    writer = ledger.writer
    with ledger.batch(), believing(writer.database.url):
        writer.flush()
        if None in writer.projection.holds:
            raise ConfigError("everything is under legal hold: nothing was erased. Release it first")
        now = microseconds(writer.at())
        before = {
            kind.value: now - period // timedelta(microseconds=1)
            for name, period in periods.items()
            for kind in RETIRABLE[name]
        }
        erased = _expire(ledger, before)
        said = {"by": by, "periods": {name: period // timedelta(seconds=1) for name, period in sorted(periods.items())}}
        for start in range(0, len(erased), _RANGES):
            _say(ledger, said, erased[start : start + _RANGES])
        end = _cut(ledger, said, min(before.values())) if cut and before else 0
        if erased:
            _derive(ledger)
    return Retired(sum(last - first + 1 for first, last in erased), end)


def _say(ledger: Ledger, said: Mapping[str, object], erased: Sequence[tuple[int, int]], **more: object) -> None:
    writer = ledger.writer
    payload = {"at": iso(writer.at()), "erased": [list(each) for each in erased], **said, **more}
    writer.append(EntryKind.RETENTION, None, payload)


def _expire(ledger: Ledger, before: Mapping[str, int]) -> list[tuple[int, int]]:
    """Reduce what is older than its kind may be. Returns the entries as ranges."""
    writer, entry, ticket = ledger.writer, schema.entry.c, schema.ticket.c
    last = select(entry.work_package, func.max(entry.at)).where(entry.work_package.is_not(None))
    last_at = {id_: microseconds(at) for id_, at in writer.read(last.group_by(entry.work_package))}
    vanished = {id_ for (id_,) in writer.read(select(ticket.work_package).where(ticket.vanished))}
    kept = {action.work_package for action in writer.projection.actions.values()} | writer.projection.holds.keys()

    def expired(each: Entry) -> bool:
        kind, _ = _told(each)
        limit = before.get(kind, 0)
        if each.at >= limit or each.kind == EntryKind.RETENTION.value:
            return False
        if each.work_package is None:
            return True
        if each.work_package in kept or last_at[each.work_package] >= limit:
            return False
        return kind not in _OF_THE_TICKET or each.work_package in vanished

    seqs: set[int] = set()
    for page in _pages(ledger):
        old = [each for each in page if expired(each)]
        if old:
            _reduce(ledger, old)
        # Where a redaction goes, what it stood for has nobody left to explain it.
        seqs.update(each.seq for each in old)
        seqs.update(each.stands_for for each in old if each.stands_for is not None)
    return _ranges(sorted(seqs))


def _ranges(seqs: Sequence[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for seq in seqs:
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return ranges


def _cut(ledger: Ledger, said: Mapping[str, object], before: int) -> int:
    """Drop the oldest entries, carrying over what must outlive them. Returns the last one dropped."""
    writer, entry, size = ledger.writer, schema.entry.c, schema.checkpoint.c.size
    writer.flush()
    [(oldest, signed)] = writer.read(
        select(
            select(func.max(entry.seq)).where(entry.at < instant(before)).scalar_subquery(),
            select(func.max(size)).scalar_subquery(),
        )
    )
    [(begin,)] = writer.read(select(func.max(schema.anchor.c.size)))
    end = min(oldest or 0, (signed or 1) - 1) // ALIGNED * ALIGNED
    if end <= (begin or 0):
        return 0
    [(alive,)] = writer.read(select(func.count()).where(entry.seq <= end, entry.payload.is_not(None)))
    if 2 * alive > end - (begin or 0):
        return 0  # carrying over that much would make the record longer, not shorter
    for page in _pages(ledger):
        for each in page:
            if each.seq <= end:
                kind, payload = _told(each)
                _stand_in(ledger, EntryKind.CARRIED, each, {"kind": kind, "payload": payload})
    [(chain,)] = writer.read(select(entry.chain).where(entry.seq == end))
    root = stored_tree(writer.connection).root(end)
    _say(ledger, said, (), anchor={"size": end, "chain": chain.hex(), "root": root.hex()})
    writer.flush()
    for statement in (
        delete(schema.entry).where(entry.seq <= end),
        delete(schema.checkpoint).where(size <= end),
        delete(schema.anchor),
        insert(schema.anchor).values(size=end, chain=chain, root=root),
    ):
        writer.execute(statement)
    return end


# --- The bytes ------------------------------------------------------------------------------------------------------


def scrub(ledger: Ledger) -> tuple[str, ...]:
    """Overwrite what was erased where the database still keeps it: free pages, dead rows, the log, statistics.

    Rewrites the whole database. Returns what only the administrator can do, in words; nothing on SQLite. Raises
    RetryLater while somebody reads an SQLite database, which keeps the old bytes.
    """
    writer = ledger.writer
    with ledger.batch():
        pass  # nothing may be half written
    database = writer.database
    with translated(database.url):
        raw: Any = database.connection.connection.driver_connection
        if not database.sqlite:
            return _scrub_postgresql(database.connection)
        raw.execute("VACUUM")
        [busy, _, _] = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise RetryLater("the text is erased, but a reader keeps its old bytes in the log: scrub again later")
    return ()


_LOG_REMAINS = (
    "PostgreSQL's write-ahead log still holds the old text until its files are written over: docs/audit.md says what a "
    "superuser runs to have them removed. Archived log and replicas are yours to expire"
)
_STATISTICS_REMAIN = (
    "samples of the old text may be left in PostgreSQL's statistics: its owner or a superuser runs VACUUM FULL "
    "pg_statistic in this database"
)


def _scrub_postgresql(connection: Connection) -> tuple[str, ...]:
    connection.rollback()
    connection.execution_options(isolation_level="AUTOCOMMIT")  # as VACUUM demands
    try:
        for table in (schema.entry, *schema.PROJECTIONS):
            connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table.name}")
        connection.exec_driver_sql("VACUUM FULL pg_statistic")  # says nothing where this user may not
        owner = "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
        owns = connection.exec_driver_sql(owner).scalar()
        try:
            connection.exec_driver_sql("CHECKPOINT")  # the old files go now, not in some minutes
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") != "42501":
                raise
    finally:
        connection.rollback()
        connection.execution_options(isolation_level=connection.default_isolation_level)
    return (_LOG_REMAINS,) if owns else (_LOG_REMAINS, _STATISTICS_REMAIN)
