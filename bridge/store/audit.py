"""Whether the record is whole and unchanged: every entry, the tree, every checkpoint, every table. Reads only.

docs/audit.md describes the same checks for those who write their own verifier; ``verify_bundle`` is one for bundles.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, zip_longest
from typing import Any

import orjson
from cryptography.x509 import Certificate
from sqlalchemy import Connection, Table, create_engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from bridge.store import checkpoint, merkle, schema, timestamp
from bridge.store.chain import START
from bridge.store.checkpoint import Checkpoint, VerifyKey, WrongKey
from bridge.store.database import WRONG_ROWS, Damaged, NoLedger, address, is_damage, snapshot, streamed
from bridge.store.projection import rebuild
from bridge.store.record import stored_tree
from bridge.store.schema import EntryKind, instant, microseconds
from bridge.store.views import fact
from bridge.store.walk import Stretch, Walked, walk_all

_PROGRESS = 10_000
"""Entries between two reports of progress."""

_ROWS = 1_000
"""Rows of a table that are compared at once."""

_UNDERIVABLE = (*WRONG_ROWS, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)

_STRETCH = 2**16
"""Entries that one process walks in one go."""

_MOST_STRETCHES = 512

_MOST = 1_000
"""Findings that are listed; a record that is wrong everywhere need not say so a million times."""

_SUBSTITUTES = frozenset({EntryKind.REDACTION.value, EntryKind.CARRIED.value})
_ABOUT_THE_RECORD = _SUBSTITUTES | {EntryKind.BEAT.value, EntryKind.RETENTION.value}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """altered, missing, inserted, erased, clock, cut, rewritten, swapped, checkpoint, key, tile, table,
    timestamp or damaged."""
    seq: int | None
    """The first bad entry; None where no entry is to blame."""
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification."""

    origin: str | None
    """The ledger's name; None where its first entry is unreadable."""
    entries: int
    """Number of the last entry."""
    last_at: datetime | None
    checkpoints: int
    last_checkpoint: datetime | None
    covered: int
    """Entries under the last checkpoint that holds; what came after it is only chained."""
    keys: tuple[str, ...]
    """The public keys that the checkpoints were checked with."""
    tables_checked: bool
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def first_bad(self) -> int | None:
        """The first entry that something is wrong with."""
        return min((finding.seq for finding in self.findings if finding.seq is not None), default=None)


def verify(
    url: str,
    *,
    keys: Sequence[VerifyKey] = (),
    own: VerifyKey | None = None,
    notes: Sequence[str] = (),
    tables: bool = True,
    accepted: Collection[int] = (),
    roots: Sequence[Certificate] = (),
    progress: Callable[[int], None] = lambda entries: None,
    processes: int | None = None,
) -> Verdict:
    """Check everything.

    ``keys`` are those that may have signed; without any, those that the record names itself, which proves less. ``own``
    is the key that signs here and now: a record that names others but not this one is not ours.
    ``notes`` are checkpoints from elsewhere (the file beside the key, a mail) that the record must continue.
    ``tables`` compares every row of the narrow tables with what the entries tell. ``accepted`` are entries at which a
    set back clock is known and explained. ``roots`` are those of time-stamping authorities, to check the kept
    time-stamps with; without any they are not checked. ``progress`` is told how many entries more were read.
    ``processes`` walk over the entries; as many as there are cores unless told.

    Raises NoLedger where there is none and no note says that there was one, Stop for one of another version, RetryLater
    when it does not answer.
    """
    try:
        with snapshot(url) as connection:
            check = _Check(url, connection, keys, own, accepted, progress, processes)
            try:
                check.everything(notes, tables)
                check.timestamps(roots)
            except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
                check.damaged(error)
            return check.verdict()
    except (Damaged, NoLedger) as error:
        if isinstance(error, NoLedger) and not notes:
            raise
        kind = "cut" if isinstance(error, NoLedger) else "damaged"
        return Verdict(None, 0, None, 0, None, 0, (), False, (Finding(kind, None, str(error)),))


@dataclass(frozen=True, slots=True)
class Listed:
    """A stored checkpoint, as it says itself."""

    size: int
    at: datetime
    root: str
    """Base64, as in the note."""
    polls_done: int
    polls_missed: int
    timestamped: bool
    note: str


def checkpoints(url: str) -> list[Listed]:
    """Every checkpoint that can be read, oldest first; ``verify`` says whether they hold. Raises as ``verify``."""
    found = []
    with snapshot(url) as connection:
        table = schema.checkpoint.c
        rows = connection.execute(select(table.note, table.token.is_not(None)).order_by(table.size))
        for note, timestamped in rows:
            with contextlib.suppress(ValueError):
                head = checkpoint.read(note)
                root = base64.b64encode(head.root).decode()
                found.append(Listed(head.size, head.at, root, head.polls_done, head.polls_missed, timestamped, note))
    return found


def origin(url: str) -> str | None:
    """The ledger's name, under which its keys sign; None where its first entry is unreadable. Raises as ``verify``."""
    with snapshot(url) as connection:
        return _name(connection)


def _name(connection: Connection) -> str | None:
    payload = connection.scalar(select(fact.c.payload).where(fact.c.seq == 1)) or ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return f"bridge/{orjson.loads(payload)['ledger']}"
    return None


def told(what: str, seq: int, more: int, text: str) -> str:
    """A problem of a walk in words."""
    match what:
        case "clock":
            now, was = (f"{instant(int(at)):%Y-%m-%d %H:%M:%S}" for at in (more, text))
            return f"entry {seq} was written at {now} UTC, after one of {was} UTC: the clock was set back"
        case "inserted":
            return f"entry {seq} stands before the first one"
        case "missing":
            return f"entry {seq} is missing" if seq == more else f"the entries {seq} to {more} are missing"
        case _:
            return (
                f"entry {seq} ({text}) does not follow from the one before: it was changed, or something was put in or "
                "taken out before it"
            )


class _Check:
    """One run over the record."""

    def __init__(
        self,
        url: str,
        connection: Connection,
        keys: Sequence[VerifyKey],
        own: VerifyKey | None,
        accepted: Collection[int],
        progress: Callable[[int], None],
        processes: int | None,
    ) -> None:
        self._url = url
        self._connection = connection
        self._keys = list(keys)
        self._own = own
        self._accepted = frozenset(accepted)
        self._progress = progress
        self._processes = processes or len(os.sched_getaffinity(0))
        self._findings: list[Finding] = []
        self._origin: str | None = None
        self._signed: dict[int, list[tuple[Checkpoint, str]]] = {}
        self._sizes: set[int] = set()
        self._last_checkpoint: datetime | None = None
        self._anchor: tuple[int, str, str] | None = None
        self._anchors: list[tuple[int, str, str]] = []
        self._erased: list[int] = []
        self._explained: set[int] = set()
        self._ranges: list[tuple[int, int]] = []
        self._whole = True
        self._tiles_differ = False
        self._covered = 0
        self._size = 0
        self._last_at: int | None = None
        self._compared: list[Finding] | None = None
        """What is wrong with the tables, where somebody had the time to look while the entries were walked."""
        self._tables_checked = False

    def everything(self, notes: Sequence[str], tables: bool) -> None:
        """All checks, in the order in which one rests on the other."""
        self._read_name()
        if not self._keys:
            self._read_keys()
        if self._own is not None and self._own not in self._keys:
            if self._keys:
                self._find("key", None, f"the record is not signed with the key in use here, {self._own}")
            self._keys.append(self._own)
        for note in notes:
            self._add_note(note)
        self._read_checkpoints()
        self._walk(tables)
        self._explain()
        self._end()
        if tables and self._whole:
            self._findings += self._compared if self._compared is not None else self._compare_tables()
            self._tables_checked = True

    def timestamps(self, roots: Sequence[Certificate]) -> None:
        """Each kept time-stamp against its checkpoint."""
        table = schema.checkpoint.c
        kept = select(table.size, table.note, table.token).where(table.token.is_not(None))
        for size, note, token in self._connection.execute(kept.order_by(table.size)) if roots else ():
            problem = timestamp.why_not(token, note, roots)
            if problem:
                self._find("timestamp", None, f"the time-stamp of the checkpoint of {size} entries: {problem}")

    def damaged(self, error: BaseException) -> None:
        """The database could not be read on."""
        said = getattr(error, "orig", error)
        self._find(
            "damaged", self._size + 1, f"the database file is damaged; reading ended after entry {self._size}: {said}"
        )

    def verdict(self) -> Verdict:
        """What was found, by entry."""
        return Verdict(
            self._origin,
            self._size,
            None if self._last_at is None else instant(self._last_at),
            len(self._sizes),
            self._last_checkpoint,
            self._covered,
            tuple(map(str, self._keys)),
            self._tables_checked,
            tuple(sorted(self._findings, key=lambda finding: (finding.seq is None, finding.seq or 0))),
        )

    def _find(self, kind: str, seq: int | None, message: str) -> None:
        if len(self._findings) < _MOST:
            self._findings.append(Finding(kind, seq, message))

    def _query(self, sql: str) -> Sequence[Any]:
        return self._connection.exec_driver_sql(sql).all()

    # --- What the record must agree with ---

    def _read_name(self) -> None:
        self._origin = _name(self._connection)

    def _read_keys(self) -> None:
        query = "SELECT f.payload FROM event e JOIN fact f ON f.seq = e.seq WHERE e.kind = 'key' ORDER BY e.seq"
        for (payload,) in self._query(query):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._keys.append(VerifyKey.parse(orjson.loads(payload)["key"]))

    def _add_note(self, note: str) -> None:
        source = "the checkpoint from elsewhere"
        try:
            head = checkpoint.verify(note, self._keys)
        except WrongKey as error:
            self._find("key", None, f"{source}: {error}")
        except ValueError as error:
            self._find("checkpoint", None, f"{source}: {error}")
        else:
            if head.origin == self._origin:
                self._signed.setdefault(head.size, []).append((head, source))
            else:
                self._find("swapped", None, f"this is the ledger {self._origin}, but {source} is of {head.origin}")

    def _read_checkpoints(self) -> None:
        last: datetime | None = None
        for size, at, root, note in self._query("SELECT size, at, root, note FROM checkpoint ORDER BY size"):
            self._sizes.add(size)
            source = f"the checkpoint of {size} entries"
            try:
                head = checkpoint.verify(str(note), self._keys)
            except WrongKey as error:
                self._find("key", None, str(error))
                continue
            except ValueError as error:
                self._find("checkpoint", None, f"{source}: {error}")
                continue
            if (head.size, microseconds(head.at), head.root) != (size, at, root):
                self._find("checkpoint", None, f"{source} says something else than its signed note")
            elif head.origin != self._origin:
                self._find("swapped", None, f"this is the ledger {self._origin}, but {source} is of {head.origin}")
            else:
                if last is not None and head.at < last and size not in self._accepted:
                    self._find("clock", size, f"{source} is older than the one before: the clock was set back")
                last = self._last_checkpoint = head.at
                self._signed.setdefault(size, []).append((head, source))

    # --- Every entry ---

    def _walk(self, tables: bool) -> None:
        """Each stretch by itself, then the tree over all of them. Meanwhile the tables, in this process."""
        size, chain, root = self._beginning()
        stretches = self._stretches(size, chain)
        processes = min(self._processes, len(stretches))
        # This process is one of those that work, where there are several.
        walkers = 0 if processes < 2 else processes - tables
        with walk_all(address(self._url), stretches, walkers) as walking:
            if walkers and tables:
                try:
                    self._compared = self._compare_tables()
                except (DBAPIError, sqlite3.Error, UnicodeDecodeError) as error:
                    if not is_damage(error):
                        raise  # else the walk says where the damage is, or all is said again in the end
            self._gather(walking, size, root)

    def _gather(self, walking: Iterable[Walked], size: int, root: bytes) -> None:
        groups = bytearray()
        rests: dict[int, list[bytes]] = {}
        chains: dict[int, bytes] = {}
        for walked in walking:
            for problem in walked.problems:
                self._tell(*problem)
            if walked.damage:
                self._find(
                    "damaged", walked.last + 1, f"the file is damaged after entry {walked.last}: {walked.damage}"
                )
            groups += walked.groups
            rests |= walked.rests
            chains |= walked.chains
            self._erased += walked.erased
            for special in walked.special:
                self._read_about_the_record(*special)
            self._progress(walked.last - self._size)
            self._size, self._last_at = walked.last, walked.last_at
        if self._whole:  # else it is said already, and closer to the place
            self._compare_tree(size, root, groups, rests, chains)

    def _beginning(self) -> tuple[int, bytes, bytes]:
        """Where the record begins: with its first entry, or after what retention has cut off."""
        anchors = self._query("SELECT size, chain, root FROM anchor ORDER BY size DESC LIMIT 1")
        if not anchors:
            return 0, START, merkle.EMPTY
        [(size, chain, root)] = anchors
        self._anchor = size, chain.hex(), root.hex()
        return size, chain, root

    def _stretches(self, size: int, chain: bytes) -> list[Stretch]:
        """What there is to walk over, in order."""
        [(low, high)] = self._query("SELECT (SELECT min(seq) FROM entry), (SELECT max(seq) FROM entry)")
        if high is None:
            return []
        end = max(high, size + 1)
        # Not more than so many stretches, whatever number somebody has given to an entry.
        width = max(_STRETCH, (end - size) // _MOST_STRETCHES // merkle.WIDTH * merkle.WIDTH + merkle.WIDTH)
        return [
            Stretch(
                first,
                min(first + width - 1, end),
                first if first > size + 1 else min(low, first),
                (0, chain) if first == size + 1 else None,
                tuple(s for s in self._signed if first <= s < first + width),
                _ABOUT_THE_RECORD,
            )
            for first in range(size + 1, end + 1, width)
        ]

    def _tell(self, what: str, seq: int, more: int, text: str) -> None:
        """Keep a problem of the walk."""
        if what == "clock":
            if seq not in self._accepted:
                self._find("clock", seq, told(what, seq, more, text))
            return
        self._whole = False
        self._find(what, seq, told(what, seq, more, text))

    def _compare_tree(
        self,
        cut: int,
        root: bytes,
        groups: bytearray,
        rests: Mapping[int, list[bytes]],
        chains: Mapping[int, bytes],
    ) -> None:
        """The tree over what was walked, against every stored hash and every signed root."""
        tree = stored_tree(self._connection).tree(cut)
        if tree.root() != root:
            self._find("tile", None, f"the stored hashes of the {cut} entries that retention cut off are not theirs")
        column = schema.tile.c
        above = select(column.level, column.number, column.hashes).where(column.level > 1)
        known = {(level, number): hashes for level, number, hashes in self._connection.execute(above)}
        lowest = select(column.number, column.hashes).where(column.level == 1, column.number >= cut // merkle.WIDTH**2)
        lowest = lowest.order_by(column.number).execution_options(yield_per=_PROGRESS)
        sizes = sorted(size for size in self._signed if size <= self._size)
        with contextlib.closing(self._connection.execute(lowest)) as stored:
            for place in range(0, len(groups), 32):
                while sizes and sizes[0] < tree.size + merkle.WIDTH:
                    self._compare_root(sizes[0], tree.root(rests.get(sizes[0], ())), chains.get(sizes.pop(0)))
                for tile in tree.append_group(bytes(groups[place : place + 32])):
                    hashes = known.get((tile.level, tile.number))
                    found = (tile.number, hashes) if tile.level > 1 else tuple(next(stored, ()))
                    self._compare_tile(tile, found)
        for size in sizes:
            self._compare_root(size, tree.root(rests.get(size, ())), chains.get(size))
        self._count_tiles()

    def _compare_root(self, size: int, root: bytes, chain: bytes | None) -> None:
        for head, source in self._signed.pop(size):
            if (head.root, head.chain) == (root, chain):
                self._covered = size
            elif self._whole:
                self._whole = False
                first = self._covered + 1
                which = f"entry {size} is" if first == size else f"some of the entries {first} to {size} are"
                self._find("rewritten", first, f"{which} not what was signed: {source} has another root")

    def _compare_tile(self, tile: merkle.Tile, found: object) -> None:
        if found != (tile.number, tile.hashes) and self._whole and not self._tiles_differ:
            self._tiles_differ = True  # once: where one is missing, all after it are in another's place
            first = tile.number * merkle.WIDTH ** (tile.level + 1) + 1
            self._find("tile", first, f"the stored hashes over the entries from {first} on are not theirs")

    def _count_tiles(self) -> None:
        """Tiles too many; and those of what was cut off, which the walk has not met, against each other."""
        [(count,)] = self._query("SELECT count(*) FROM tile")
        if count != sum(self._size // merkle.WIDTH**level for level in range(2, 16)):
            self._find("tile", None, "there are more stored hashes, or fewer, than the entries have")
        if self._anchor is None:
            return
        tile = schema.tile.c
        for level, number, hashes in self._connection.execute(select(schema.tile).where(tile.level > 1)):
            below = select(tile.hashes).where(tile.level == level - 1).order_by(tile.number)
            below = below.where(tile.number.between(number * merkle.WIDTH, (number + 1) * merkle.WIDTH - 1))
            derived = b"".join(merkle.complete(merkle.split(each)) for each in self._connection.scalars(below))
            if derived != hashes:
                self._find("tile", None, f"the stored hashes {number} of level {level} do not follow from those below")

    def _read_about_the_record(self, seq: int, kind: str, payload: bytes | None, stands_for: object) -> None:
        """Entries that say something about the record itself."""
        if kind == EntryKind.BEAT.value:
            if seq not in self._sizes:
                self._find("checkpoint", seq, f"the checkpoint over entry {seq} is missing")
        elif payload is not None:
            try:
                said = orjson.loads(payload)
                if stands_for != (said["of"] if kind in _SUBSTITUTES else None):
                    raise ValueError(stands_for)
                if kind in _SUBSTITUTES:
                    self._explained |= {said["of"], said["erases"]}
                    kind, said = said["kind"], said["payload"]
                if kind == EntryKind.RETENTION.value:
                    self._ranges += [(first, last) for first, last in said["erased"]]
                    if "anchor" in said:
                        self._anchors.append((said["anchor"]["size"], said["anchor"]["chain"], said["anchor"]["root"]))
            except (ValueError, KeyError, TypeError):
                self._tell("altered", seq, 0, kind)

    # --- What follows from all of them ---

    def _explain(self) -> None:
        """Each erased payload must have an entry that says why."""
        ranges = sorted(self._ranges)
        firsts = [first for first, _ in ranges]
        lasts = list(accumulate((last for _, last in ranges), max))
        for seq in self._erased:
            place = bisect_right(firsts, seq)
            if seq not in self._explained and not (place and seq <= lasts[place - 1]):
                self._whole = False
                self._find("erased", seq, f"the content of entry {seq} was erased, and no entry says why")
        if self._whole and self._anchor is not None and self._anchor not in self._anchors:
            self._find(
                "missing", self._anchor[0], f"entries up to {self._anchor[0]} are missing, and no entry says why"
            )

    def _end(self) -> None:
        """Checkpoints that the walk has not come by."""
        for size, signed in sorted(self._signed.items()):
            if size > self._size:
                head, source = signed[0]
                self._whole = False
                self._find(
                    "cut",
                    self._size + 1,
                    f"the record ends at entry {self._size}, but {source} covers {size} "
                    f"(signed {head.at:%Y-%m-%d %H:%M} UTC): the end was cut off, or an older copy put in its place",
                )
                return

    def _compare_tables(self) -> list[Finding]:
        """Derive every table again and compare row by row. Means something only where the entries hold."""
        # A database without a name: SQLite keeps it in memory and spills to a file of its own when it grows.
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(""), poolclass=StaticPool)
        try:
            with engine.begin() as again:
                for table in schema.PROJECTIONS:
                    again.execute(CreateTable(table))
                again.execute(CreateIndex(schema.decision_work_package))  # each decision looks for what it replaces
                try:
                    rebuild(self._connection, again)
                except _UNDERIVABLE as error:
                    return [Finding("table", None, f"the tables cannot be derived from the entries: {error!r}")]
                return [found for table in schema.PROJECTIONS if (found := self._compare_table(again, table))]
        finally:
            engine.dispose()

    def _compare_table(self, again: Connection, table: Table) -> Finding | None:
        columns = [column.name for column in table.columns]
        order = ", ".join(column.name for column in table.primary_key)
        query = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {order}"  # noqa: S608 - names of the schema
        place = columns.index("seq")
        with (
            contextlib.closing(streamed(self._connection, query)) as stored,
            contextlib.closing(streamed(again, query)) as derived,
        ):
            while (some := stored.fetchmany(_ROWS)) == (others := derived.fetchmany(_ROWS)):
                if not some:
                    return None
        is_, should = next(each for each in zip_longest(some, others) if each[0] != each[1])
        seq = (is_ if should is None else should)[place]
        return Finding("table", seq, f"table {table.name}: its row for entry {seq} is not what the entry tells")
