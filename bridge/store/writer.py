"""Appending to the record: transactions, the chain, the tree, and the projections that go with each entry.

It knows no kind of fact; the verbs are in ``ledger``, ``seal`` and ``erasure``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from threading import RLock, get_ident
from typing import Any

from sqlalchemy import Connection, Executable, Select, select

from bridge.store import schema
from bridge.store.canonical import canonical
from bridge.store.chain import SALT, START, commitment, leaf_hash, link
from bridge.store.database import Database, believing, translated
from bridge.store.merkle import Tree
from bridge.store.projection import SET_META, Projection, Row, iso, prepare, write
from bridge.store.record import stored_tree
from bridge.store.schema import EntryKind, instant, microseconds

CLOCK_JITTER = 1_000_000
"""Microseconds that the clock may step back (as time services do) before it is recorded as set back."""

_Draft = tuple[int, str, int | None, bytes, int | None]
"""An entry that is not hashed yet: seq, kind, work package, payload, what it stands for."""


class Writer:
    """The end of the chain, and the one connection that may append to it."""

    def __init__(self, database: Database, now: Callable[[], datetime], salts: Callable[[int], bytes]) -> None:
        self.database = database
        self.projection = Projection()
        self.size = 0
        """Entries so far, those of the present transaction included."""
        self.tree = Tree()
        self._now = now
        self._salts = salts
        self._statements = prepare(database.connection.dialect)
        self._lock = RLock()
        self._owner: int | None = None
        self._stale = True
        self._broken: BaseException | None = None
        self._last_at = 0
        self._chain = START
        self._drafts: list[_Draft] = []
        self._at: int | None = None
        self._meta: dict[str, str] = {}

    @property
    def inside(self) -> bool:
        """Whether this thread is within a transaction."""
        return self._owner == get_ident()

    @property
    def chain(self) -> bytes:
        """The chain value of the last entry; flush first."""
        return self._chain

    @property
    def connection(self) -> Connection:
        """For statements of the present transaction that are no entries."""
        return self.database.connection

    def batch(self) -> AbstractContextManager[None]:
        """One transaction around everything inside. Nests. An error leaves nothing of it behind."""
        return contextlib.nullcontext() if self.inside else self._transaction()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, translated(self.database.url):
            connection = self.database.connection
            if connection.closed or connection.invalidated:
                self._stale = True
                connection = self.database.reconnect()
            try:
                with connection.begin():
                    if self._stale:
                        with believing(self.database.url):
                            self._load(connection)
                    self._owner = get_ident()
                    yield
                    self.flush()
                    if self._broken is not None:
                        # Somebody caught what left half a fact behind. It must not be committed all the same.
                        raise self._broken
            except BaseException:
                self._stale = True
                raise
            finally:
                self._owner = None
                self._at = None

    def append(
        self,
        kind: EntryKind,
        work_package: int | None,
        payload: Mapping[str, object],
        stands_for: int | None = None,
    ) -> int:
        """Add an entry and the rows it calls for. Returns its seq. Raises ValueError for what JSON cannot hold."""
        seq = self.draft(kind, work_package, canonical(payload), stands_for)
        try:
            self.projection.apply(seq, kind, work_package, payload)
        except BaseException as error:
            self._broken = error
            raise
        return seq

    def draft(self, kind: EntryKind, work_package: int | None, payload: bytes, stands_for: int | None = None) -> int:
        """``append`` for a payload that is canonical already and whose rows the caller adds."""
        if self._at is None:
            self._at = self._time()
        self.size += 1
        self._drafts.append((self.size, str(kind), work_package, payload, stands_for))
        return self.size

    def at(self) -> datetime:
        """The time that the entries of this transaction carry."""
        if self._at is None:
            self._at = self._time()
        return instant(self._at)

    def flush(self) -> None:
        """Hash and write what is waiting."""
        try:
            if self._drafts and self._at is not None:
                self.projection.rows[schema.entry] = self._hashed(self._at)
                self._last_at = self._at
                self._drafts.clear()
            if self.projection.rows:
                write(self.database.connection, self._statements, self.projection.rows)
        except BaseException as error:
            self._broken = error
            raise

    def read(self, query: Select[Any]) -> Sequence[Any]:
        """Rows, those of the present transaction included."""
        with self.batch():
            self.flush()
            try:
                return self.database.connection.execute(query).all()
            except BaseException as error:
                self._broken = error
                raise

    def stream(self, query: Select[Any]) -> Iterator[Any]:
        """Rows one after the other, for results that are large. Within a transaction, to its end."""
        self.flush()
        with contextlib.closing(self.database.connection.execute(query.execution_options(yield_per=10_000))) as rows:
            yield from rows

    def execute(self, statement: Executable) -> None:
        """A statement that is no entry."""
        self.flush()
        try:
            self.database.connection.execute(statement)
        except BaseException as error:
            self._broken = error
            raise

    def meta(self, key: str) -> str | None:
        """A piece of operating state."""
        return self._meta.get(key)

    def set_meta(self, key: str, value: str) -> None:
        """Write a piece of operating state."""
        self._meta[key] = value
        self.projection.rows.setdefault(SET_META, []).append((key, value))

    def reload(self) -> None:
        """Forget what is remembered of the database, because rows were changed in another way."""
        self._stale = True

    def _time(self) -> int:
        """The time of the transaction's entries; a clock that was set back is written down, not hidden."""
        at = microseconds(self._now())
        if at >= self._last_at:
            return at
        if self._last_at - at <= CLOCK_JITTER:
            return self._last_at
        self._at = at
        self.append(EntryKind.CLOCK, None, {"at": iso(instant(at)), "was": iso(instant(self._last_at))})
        return at

    def _hashed(self, at: int) -> list[Row]:
        drafts = self._drafts
        salts = self._salts(SALT * len(drafts))
        chain = self._chain
        rows: list[Row] = []
        leaves: list[bytes] = []
        for start, (seq, kind, work_package, payload, stands_for) in zip(
            range(0, len(salts), SALT), drafts, strict=True
        ):
            salt = salts[start : start + SALT]
            leaf = leaf_hash(seq, at, kind, work_package, commitment(salt, payload))
            leaves.append(leaf)
            chain = link(chain, leaf)
            rows.append((seq, at, kind, work_package, payload.decode(), salt, None, chain, stands_for))
        self._chain = chain
        tiles: list[Row] = [(tile.level, tile.number, tile.hashes) for tile in self.tree.extend(leaves)]
        if tiles:
            self.projection.rows[schema.tile] = tiles
        return rows

    def _load(self, connection: Connection) -> None:
        """Where the database stands; what was remembered besides is void."""
        entry = schema.entry.c
        last = connection.execute(select(entry.seq, entry.at, entry.chain).order_by(entry.seq.desc()).limit(1)).first()
        self.size, self._last_at, self._chain = (
            (0, 0, START) if last is None else (last.seq, microseconds(last.at), last.chain)
        )
        self.tree = stored_tree(connection).tree(self.size)
        self._meta = {row.key: row.value for row in connection.execute(select(schema.meta))}
        self._drafts.clear()
        self._broken = None
        self.projection.load(connection)
        self._stale = False
