"""A whole ledger from one place to another, bit by bit the same: backup, restore, migration to the other database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from bridge.errors import ConfigError, Stop
from bridge.store import checkpoint, schema
from bridge.store.audit import Verdict, verify
from bridge.store.checkpoint import Checkpoint
from bridge.store.database import Database, address, parse, snapshot, translated
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import kept

_PAGE = 1_000
"""Rows that are in memory at once."""


def backup(url: str, path: Path) -> Verdict:
    """Copy a ledger, which may be in use, into one new SQLite file, and check the copy's chain and signatures.

    Raises ConfigError where the file is there already or cannot be written, Stop where the copy does not hold.
    """
    if path.exists():
        raise ConfigError(f"{path} is there already: name a file that is to be made")
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    copy = f"sqlite:///{unfinished}"
    try:
        if parse(url).get_backend_name() == "sqlite":
            _copy_file(url, unfinished)
        else:
            _copy_rows(url, copy)
        verdict = _checked(copy, path)
        _one_file(unfinished)
        unfinished.replace(path)
    finally:
        for each in (unfinished, *(unfinished.with_name(unfinished.name + more) for more in ("-wal", "-shm", ".lock"))):
            each.unlink(missing_ok=True)
    return verdict


def migrate(source: str, target: str) -> Verdict:
    """Copy a ledger to an empty database of either kind, chain and signatures intact, and check it there.

    The source is locked meanwhile, and stays as it is. Raises Stop where a bridge is writing to either, or the copy
    does not hold; ConfigError where the target is not empty.
    """
    database = Database(source)  # holds the lock, so that nothing is written behind our back
    try:
        _copy_rows(source, target)
    finally:
        database.close()
    return _checked(target, target)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back."""

    verdict: Verdict
    lost: Checkpoint | None
    """The last checkpoint that was signed, where the backup does not reach it: what came after the backup is lost."""


def restore(
    path: Path, url: str, *, now: Callable[[], datetime], last_seen: Path | None = None, accept_loss: bool = False
) -> Restored:
    """Put a backup into an empty database and write down that it was restored.

    ``last_seen`` is the file that keeps the last signed checkpoint (``seal``). Where the backup is older than that,
    ``accept_loss`` must be said; the lost checkpoint is then written into the record, and its file put aside.

    Raises ConfigError where the target is not empty, the backup is missing, or a loss is not accepted; Stop where the
    backup does not hold.
    """
    if not path.is_file():
        raise ConfigError(f"there is no backup {path}")
    source = f"sqlite:///{path}"
    verdict = _checked(source, path)
    note = None if last_seen is None else kept(last_seen)
    lost = None
    if note is not None:
        try:
            head = checkpoint.read(note)
        except ValueError as error:
            raise ConfigError(f"{last_seen}: {error}") from None
        if head.origin != verdict.origin:
            raise ConfigError(f"the backup is of the ledger {verdict.origin}, but {last_seen} is of {head.origin}")
        lost = head if head.size > verdict.entries else None
    if lost is not None and not accept_loss:
        raise ConfigError(
            f"the backup ends at entry {verdict.entries}, but {lost.size} were signed at {lost.at:%Y-%m-%d %H:%M} UTC: "
            "the rest would be lost. Find a newer backup, or say --accept-loss"
        )
    _copy_rows(source, url)
    with Ledger.open(url, now=now) as ledger:
        said: dict[str, object] = {"backup": path.name, "entries": verdict.entries}
        if lost is not None:
            said["lost"] = note
        ledger.record(EntryKind.RESTORE, said, now())
    if lost is not None and last_seen is not None:
        last_seen.replace(last_seen.with_name(f"{last_seen.name}.lost"))
    return Restored(verdict, lost)


# --- Inside ---------------------------------------------------------------------------------------------------------


def _copy_file(url: str, path: Path) -> None:
    """SQLite's own way, which copes with a writer at work."""
    with translated(parse(url)), snapshot(url):
        pass  # ours, of this version, undamaged at the first look
    with (
        translated(parse(url)),
        closing(sqlite3.connect(address(url), uri=True)) as source,
        closing(sqlite3.connect(path)) as target,
    ):
        source.backup(target, pages=1_000)


def _one_file(path: Path) -> None:
    """Without a write-ahead log beside it, so that the file can be carried away and read on a read-only medium."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=DELETE")


def _copy_rows(source: str, target: str) -> None:
    database = Database(target)
    try:
        with snapshot(source) as reading, translated(database.url), database.connection.begin():
            writing = database.connection
            if writing.scalar(select(func.count()).select_from(schema.entry)):
                raise ConfigError("the target holds a ledger already: name an empty database")
            for table in schema.metadata.sorted_tables:
                rows = reading.execute(select(table).execution_options(yield_per=_PAGE))
                for page in rows.partitions():
                    writing.execute(insert(table), [row._asdict() for row in page])
            if _counts(reading) != _counts(writing):
                raise Stop("the copy is incomplete: nothing was kept of it")
    finally:
        database.close()


def _counts(connection: Connection) -> list[int]:
    tables = schema.metadata.sorted_tables
    return [connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def _checked(url: str, name: object) -> Verdict:
    verdict = verify(url, tables=False)
    if not verdict.holds:
        raise Stop(f"{parse(url).database if name == url else name} does not hold: {verdict.findings[0].message}")
    return verdict
