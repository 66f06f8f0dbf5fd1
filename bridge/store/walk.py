"""Walks a stretch of the record and checks each entry against the one before; several processes can each take some.
What the stretches mean together is ``audit``'s business. Imports little: each process pays for it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from queue import SimpleQueue
from typing import IO, Any

from bridge.errors import RetryLater
from bridge.store.chain import SALT, START
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


@contextlib.contextmanager
def walk_all(address: str, stretches: Sequence[Stretch], processes: int) -> Iterator[Iterator[Walked]]:
    """Every stretch in order, walked by so many processes at once, beside whatever the caller does before it looks.

    With 0 it is this process, when it looks. ``address`` is as for ``walk_part``.
    """
    if not processes:
        yield (walk_part(address, stretch) for stretch in stretches)
        return
    with contextlib.ExitStack() as held:
        queues = []
        for number in range(processes):
            own = stretches[number::processes]
            stream = held.enter_context(_worker(address, own))
            queues.append(queue := SimpleQueue[Walked | BaseException]())
            # A thread that only waits: a process whose results nobody takes could not go on.
            threading.Thread(target=_collect, args=(stream, len(own), queue), daemon=True).start()
        yield (_taken(queues[number % processes]) for number in range(len(stretches)))


def _collect(stream: IO[bytes], count: int, queue: SimpleQueue[Walked | BaseException]) -> None:
    try:
        for _ in range(count):
            queue.put(pickle.load(stream))  # noqa: S301 - our own child's
    except (EOFError, ValueError, OSError, pickle.UnpicklingError):
        queue.put(RetryLater("a process that was to verify a part of the record was ended: verify again"))


def _taken(queue: SimpleQueue[Walked | BaseException]) -> Walked:
    walked = queue.get()
    if isinstance(walked, BaseException):
        raise walked
    return walked


@contextlib.contextmanager
def _worker(address: str, stretches: Sequence[Stretch]) -> Iterator[IO[bytes]]:
    """A process of its own, without the program's other modules (multiprocessing would load them all again)."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((address, stretches), process.stdin)
            process.stdin.close()
            yield process.stdout
        finally:
            process.kill()


def serve() -> None:
    """What such a process does: stretches in, results out."""
    address, stretches = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that made this one
    for stretch in stretches:
        try:
            walked: object = walk_part(address, stretch)
        except Exception as error:  # noqa: BLE001 - raised again where somebody can act on it
            walked = error
        pickle.dump(walked, sys.stdout.buffer)
        sys.stdout.buffer.flush()


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
    try:
        _walk(rows, stretch, previous, walked)
        if walked.last < stretch.last:
            walked.problems.append(("missing", walked.last + 1, stretch.last, ""))
            walked.last = stretch.last
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        walked.damage = str(error)
    return walked


def _walk(rows: Iterable[Any], stretch: Stretch, previous: tuple[int, bytes], walked: Walked) -> None:
    last_at, chain = previous
    instead = chain
    last = stretch.first - 1
    leaves: list[bytes] = []
    sizes, special = frozenset(stretch.sizes), stretch.special
    try:
        for seq, at, kind, ticket, payload, salt, committed, stored, stands_for in rows:
            if seq != last + 1:
                _gap(walked, last, seq)
            walked.last = last = seq
            try:
                if payload is None:
                    walked.erased.append(seq)
                    told = committed.hex() if salt is None and len(committed) == 32 else ""
                else:
                    # The length, lest bytes move from the one to the other.
                    told = sha256(salt + payload).hexdigest() if committed is None and len(salt) == SALT else ""
                about = "" if ticket is None else f',"work_package":{ticket}'
                leaf = sha256(
                    f'\0{{"at":{at},"commitment":"{told}","kind":"{kind}","seq":{seq}{about}}}'.encode()
                ).digest()
                follows = sha256(chain + leaf).digest()
                if at < last_at:
                    walked.problems.append(("clock", seq, at, str(last_at)))
                last_at = at
            except (TypeError, ValueError, AttributeError):  # a value of another type than the bridge writes
                leaf = follows = bytes(32)
            if follows == stored:
                chain = instead = follows
            else:
                # Where the chain breaks, the next entry may follow from what is there or from what should be.
                if instead == chain or sha256(instead + leaf).digest() != stored:
                    walked.problems.append(("altered", seq, 0, str(kind)))
                chain, instead = stored if isinstance(stored, bytes) else follows, follows
            leaves.append(leaf)
            if seq in sizes:
                walked.rests[seq] = [] if len(leaves) == WIDTH else leaves[:]
                walked.chains[seq] = chain
            if len(leaves) == WIDTH:
                walked.groups += complete(leaves)
                leaves = []
            if kind in special or stands_for is not None:
                walked.special.append((seq, str(kind), payload, stands_for))
    finally:  # also where the file turns out to be damaged
        walked.rests[last] = leaves
        walked.last_at = last_at


def _gap(walked: Walked, last: int, seq: int) -> None:
    if seq <= last:
        walked.problems.append(("inserted", seq, 0, ""))
    else:
        walked.problems.append(("missing", last + 1, seq - 1, ""))
