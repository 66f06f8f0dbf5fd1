"""Reading the record: entries with their leaf hashes, and the stored tree over them. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, select

from bridge.store import merkle, schema
from bridge.store.chain import commitment, leaf_hash
from bridge.store.schema import microseconds


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as stored. ``at`` is in microseconds since the epoch; ``payload`` and ``salt`` are None once erased."""

    seq: int
    at: int
    kind: str
    work_package: int | None
    payload: str | None
    salt: bytes | None
    commitment: bytes | None
    chain: bytes
    stands_for: int | None

    def committed(self) -> bytes:
        """The commitment to the payload. Raises ValueError where it cannot be told: a damaged row."""
        if self.payload is None:
            if self.commitment is None:
                raise ValueError(f"entry {self.seq} has neither payload nor commitment")
            return self.commitment
        if self.salt is None:
            raise ValueError(f"entry {self.seq} has no salt")
        return commitment(self.salt, self.payload.encode())

    def leaf(self) -> bytes:
        """The entry's RFC 6962 leaf hash."""
        return leaf_hash(self.seq, self.at, self.kind, self.work_package, self.committed())


def entries(connection: Connection, query: Select[tuple[object, ...]] | None = None) -> Iterator[Entry]:
    """All entries in order, or those of a query that selects from ``entry``. Streamed; the caller's transaction."""
    chosen = select(schema.entry).order_by(schema.entry.c.seq) if query is None else query
    for rows in connection.execute(chosen.execution_options(yield_per=1000)).partitions():
        for seq, at, *rest in rows:
            yield Entry(seq, microseconds(at), *rest)


def stored_tree(connection: Connection) -> merkle.Reader:
    """The tree over the entries, as far as they are stored. The caller's transaction."""
    tile, entry = schema.tile.c, schema.entry.c

    def hashes(level: int, number: int) -> bytes | None:
        found: bytes | None = connection.scalar(select(tile.hashes).where(tile.level == level, tile.number == number))
        return found

    def leaves(first: int, count: int) -> Sequence[bytes]:
        query = select(schema.entry).where(entry.seq > first, entry.seq <= first + count).order_by(entry.seq)
        return [each.leaf() for each in entries(connection, query)]

    return merkle.Reader(hashes, leaves)
