"""Reading the store, on a connection that cannot write. What reports and the dashboard stand on.

A ``Snapshot`` is one read transaction, so that all numbers taken from it agree.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from bridge.errors import ConfigError, Stop
from bridge.store.database import BUSY_TIMEOUT, is_memory, parse, shown, translated
from bridge.store.schema import APPLICATION_ID, HEAD
from bridge.store.snapshot import Snapshot


class Queries:
    """The reading side of the store. Safe for threads: each snapshot has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that cannot be used and where there is no ledger yet."""
        self.url = parse(url)
        self._engine = _engine(self.url)

    def close(self) -> None:
        """Give the connections back. Idempotent."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store as it is at this moment, however long the reading takes.

        Raises RetryLater when the database does not answer, ConfigError or Stop when it is not the bridge's or of
        another version.
        """
        with translated(self.url), self._engine.connect() as connection, connection.begin():
            _check(connection, shown(self.url))
            yield Snapshot(connection)


def _engine(url: Any) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url,
            isolation_level="REPEATABLE READ",
            connect_args={"connect_timeout": BUSY_TIMEOUT, "options": _read_only_options(url)},
        )
    if is_memory(url):
        raise ConfigError("an in-memory ledger cannot be read from elsewhere: name a file")
    path = Path(url.database).absolute()
    if not path.is_file():
        raise ConfigError(f"there is no ledger at {path} yet: run `bridge once` first, or check BRIDGE_STORE")
    address = f"file:{quote(str(path))}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")  # deferred: the first read takes the snapshot

    return engine


def _read_only_options(url: Any) -> str:
    """The URL's own options and ours: a session that refuses to write, whatever the user may."""
    given = url.query.get("options", "")
    return f"{given} -c default_transaction_read_only=on".strip()


def _check(connection: Connection, where: str) -> None:
    if connection.dialect.name == "sqlite" and connection.scalar(text("PRAGMA application_id")) != APPLICATION_ID:
        raise Stop(f"{where} is another program's database: name a file of the bridge's own")
    try:
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError:
        raise ConfigError(
            f"there is no ledger in {where} yet: run `bridge once` first, or check BRIDGE_STORE"
        ) from None
    if version != HEAD:
        raise Stop(
            f"{where} is of another version of the bridge ({version}, not {HEAD}): run this version's `bridge once` "
            "to bring an older one up to date, or install the newer bridge that wrote it"
        )
