"""Walks a stretch of the record and checks each entry against the one before. Imports little, so that several processes
can each take a stretch; what the stretches mean together is ``audit``'s business.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from bridge.store.chain import START
from bridge.store.merkle import WIDTH, complete

_ENTRIES = """SELECT seq, at, kind, work_package, {}, salt, commitment, chain, stands_for FROM entry
WHERE seq BETWEEN {} AND {} ORDER BY seq"""

_PREVIOUS = "SELECT at, chain FROM entry WHERE seq = {}"


@dataclass(frozen=True, slots=True)
class Stretch:
    """The entries from ``first`` to ``last``, and what is wanted of them."""

    first: int
    last: int
    floor: int
    """Look from here on, which is before ``first`` where something may have been put before the beginning."""
    previous: tuple[int, bytes] | None
    """Time and chain value of the entry before; None: read them."""
    sizes: tuple[int, ...]
    """Sizes within the stretch of which the root is wanted."""
    special: frozenset[str]
    """Kinds whose entries are wanted whole."""


@dataclass(slots=True)
class Walked:
    """What was found in a stretch."""

    problems: list[tuple[str, int, int, str]] = field(default_factory=list)
    """(missing, first, last, ""), (inserted, seq, 0, ""), (altered, seq, 0, kind), (clock, seq, time, time before)."""
    groups: bytearray = field(default_factory=bytearray)
    """Hashes of the complete groups, one after the other."""
    rests: dict[int, list[bytes]] = field(default_factory=dict)
    """For each wanted size and the end: the leaves since the last complete group."""
    chains: dict[int, bytes] = field(default_factory=dict)
    erased: list[int] = field(default_factory=list)
    special: list[tuple[int, str, bytes | None, object]] = field(default_factory=list)
    """Seq, kind, payload, stands_for."""
    last: int = 0
    last_at: int = 0
    damage: str = ""
    """What the database said when it could not read on."""


def walk_part(address: str, stretch: Stretch) -> Walked:
    """A stretch of the ledger at a ``postgresql:`` or SQLite ``file:`` address, over a connection of its own."""
    if address.startswith("postgresql:"):
        import psycopg  # noqa: PLC0415 - an extra

        with psycopg.connect(address) as connection, connection.cursor("walk") as cursor:
            connection.read_only = True
            previous = _previous(connection.execute, stretch)
            cursor.itersize = 2000
            cursor.execute(_ENTRIES.format("convert_to(payload, 'UTF8')", stretch.floor, stretch.last))
            return walk(cursor, stretch, previous)
    file = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        rows = file.execute(_ENTRIES.format("CAST(payload AS BLOB)", stretch.floor, stretch.last))
        return walk(rows, stretch, _previous(file.execute, stretch))
    finally:
        file.close()


def _previous(execute: Callable[[str], Any], stretch: Stretch) -> tuple[int, bytes]:
    if stretch.previous is not None:
        return stretch.previous
    row = execute(_PREVIOUS.format(stretch.first - 1)).fetchone()
    return row if row is not None and isinstance(row[1], bytes) and isinstance(row[0], int) else (0, START)


def walk(rows: Iterable[Any], stretch: Stretch, previous: tuple[int, bytes]) -> Walked:
    """Check every entry against the one before. ``rows`` may end in an sqlite3.Error: then the file is damaged."""
    walked = Walked(last=stretch.first - 1)
    last_at, chain = previous
    walked.last_at = last_at
    instead = chain
    leaves: list[bytes] = []
    sizes = frozenset(stretch.sizes)
    for seq, at, kind, ticket, payload, salt, committed, stored, stands_for in _until_damage(rows, walked):
        if seq != walked.last + 1:
            _gap(walked, seq)
        walked.last = seq
        try:
            if payload is None:
                walked.erased.append(seq)
                told = committed if salt is None and len(committed) == 32 else b""
            else:
                told = sha256(salt + payload).digest() if committed is None else b""
            about = "" if ticket is None else f',"work_package":{ticket}'
            leaf = sha256(
                f'\0{{"at":{at},"commitment":"{told.hex()}","kind":"{kind}","seq":{seq}{about}}}'.encode()
            ).digest()
            follows = sha256(chain + leaf).digest()
            # Where the chain breaks, the next entry may follow from what is there or from what should be.
            if follows != stored and (instead == chain or sha256(instead + leaf).digest() != stored):
                walked.problems.append(("altered", seq, 0, str(kind)))
            if at < last_at:
                walked.problems.append(("clock", seq, at, str(last_at)))
            last_at = at
        except (TypeError, ValueError, AttributeError):  # a value of another type than the bridge writes
            leaf = follows = bytes(32)
            walked.problems.append(("altered", seq, 0, str(kind)))
        instead = follows
        chain = stored if isinstance(stored, bytes) else follows
        leaves.append(leaf)
        if seq in sizes:
            walked.rests[seq] = [] if len(leaves) == WIDTH else leaves[:]
            walked.chains[seq] = chain
        if len(leaves) == WIDTH:
            walked.groups += complete(leaves)
            leaves = []
        if kind in stretch.special or stands_for is not None:
            walked.special.append((seq, str(kind), payload, stands_for))
    walked.rests[walked.last] = leaves
    walked.last_at = last_at
    return walked


def _until_damage(rows: Iterable[Any], walked: Walked) -> Iterator[Any]:
    try:
        yield from rows
    except sqlite3.DatabaseError as error:
        walked.damage = str(error)


def _gap(walked: Walked, seq: int) -> None:
    if seq <= walked.last:
        walked.problems.append(("inserted", seq, 0, ""))
    else:
        walked.problems.append(("missing", walked.last + 1, seq - 1, ""))
