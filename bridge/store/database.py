"""Opening the database: one read-write connection, its lock, migrations, and database errors in the bridge's words.

SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at once, so there is exactly
one read-write connection, and a second writer is refused. The locks end with their process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zlib import crc32

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from bridge.errors import BridgeError, ConfigError, RetryLater, Stop
from bridge.store import views
from bridge.store.schema import APPLICATION_ID, HEAD

BUSY_TIMEOUT = 15
"""Seconds to wait for a reader that checkpoints or a backup that begins; longer is a fault to report."""

_WRITER = crc32(b"bridge-writer") & 0x7FFFFFFF
_REFUSED = re.compile(
    r"FATAL.*(password authentication failed|does not exist|no pg_hba|authentification|n'existe pas|aucune entrée)",
    re.S,
)
"""A server that answers but lets nobody in: libpq gives no code for it, and both languages that are met here are known.
Any other refusal (starting up, too many clients) passes."""

_MIGRATIONS = "bridge.store:migrations"

_AT_ONCE = 2_000
"""Rows that PostgreSQL sends at once."""

_migrating = threading.Lock()
"""Alembic keeps the database that it works on in a global: two threads would make each other's tables."""


class Damaged(Stop):
    """The database is not what the database program wrote."""


class NoLedger(ConfigError):
    """There is none where one is to be read."""


class Occupied(Stop):
    """Another bridge is writing to the database. A standby waits for it to end; everybody else must not start."""


def parse(url: str) -> URL:
    """The database URL, checked. Raises ConfigError; the message never shows the password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "the database URL cannot be read; write sqlite:////var/lib/bridge/bridge.db or postgresql://user@host/name"
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"the store is SQLite or PostgreSQL, not {parsed.get_backend_name()}")
    return parsed


def is_memory(url: URL) -> bool:
    """Whether it is an SQLite database without a file."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def shown(url: URL) -> str:
    """The URL as messages may show it."""
    if url.get_backend_name() == "sqlite":
        return "the in-memory database" if is_memory(url) else str(url.database)
    return url.render_as_string(hide_password=True)


@contextlib.contextmanager
def translated(url: URL) -> Iterator[None]:
    """Database errors as errors that say what to do: RetryLater, ConfigError or Stop."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(error, shown(url)) from error
    except sqlite3.Error as error:
        raise _sqlite_error(error, shown(url)) from error
    except UnicodeDecodeError as error:  # what SQLite wanted to say of a damaged file quotes it
        raise Damaged(f"{shown(url)} is damaged: keep the file, and restore the last backup") from error


def _translate(error: DBAPIError, where: str) -> BridgeError:
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_error(error.orig, where)
    state = getattr(error.orig, "sqlstate", None) or ""
    said = (
        str(error.orig).strip().splitlines()[0]
        if error.orig is not None and str(error.orig).strip()
        else "no reason given"
    )
    if state == "53100":
        return _no_room(where)
    if state == "25006":
        return Stop(f"{where} is read-only: connect to the primary server")
    if state in ("28000", "28P01", "3D000", "42501", "3F000"):
        return ConfigError(f"{where}: {said}")
    if not state and _REFUSED.search(said):
        return ConfigError(f"{where}: {said}: check the user, the password and the name of the database")
    if error.connection_invalidated or state[:2] in ("", "08", "57", "53", "40", "55"):
        return RetryLater(f"{where} does not answer: {said}")
    return Stop(f"{where}: {said}")


def _no_room(where: str) -> Stop:
    return Stop(f"no room left for {where}: nothing was lost up to the last commit; make room and start again")


def unwritable(path: Path, error: OSError, what: str) -> BridgeError:
    """What to raise when a file beside the database cannot be written: a full disk passes, all else is a setting."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_room(str(path))
    return ConfigError(f"{what} ({error.strerror}): check the directory, and that this user may write to it")


def _sqlite_error(error: sqlite3.Error, where: str) -> BridgeError:
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE:
        return _no_room(where)
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return RetryLater(f"{where} is in use by another program: {error}")
        case sqlite3.SQLITE_FULL:
            return _no_room(where)
        case sqlite3.SQLITE_READONLY:
            return Stop(f"{where} cannot be written: the file, its directory or the disk is read-only")
        case sqlite3.SQLITE_CORRUPT:
            return Damaged(f"{where} is damaged ({error}): keep the file, and restore the last backup")
        case sqlite3.SQLITE_NOTADB:
            return Damaged(
                f"{where} is no SQLite database, or it is damaged: name another file, or restore the last backup"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return ConfigError(f"{where} cannot be opened: check the directory, and that this user may write to it")
        case _:
            return Stop(f"{where}: {error}")


WRONG_ROWS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What comes of rows that say something else than a bridge writes."""


@contextlib.contextmanager
def believing(url: URL) -> Iterator[None]:
    """Around what rests on stored rows alone: what no bridge can have written is damage, and no mistake of ours."""
    try:
        yield
    except WRONG_ROWS as error:
        raise Damaged(
            f"{shown(url)} holds what no bridge writes ({error!r}): run bridge audit verify, keep the file, and "
            "restore the last backup"
        ) from error


def is_damage(error: BaseException) -> bool:
    """Whether a database error says that something is wrong with what is stored, and not with the reading of it."""
    orig = getattr(error, "orig", error)
    if isinstance(orig, UnicodeDecodeError):
        return True
    if isinstance(orig, sqlite3.Error):
        # Without a code: text that is no UTF-8. SQLITE_ERROR: a table is gone.
        code = getattr(orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return str(getattr(orig, "sqlstate", "") or "")[:2] in ("42", "XX", "22")


class Database:
    """The one read-write connection. Not for threads: callers take turns."""

    def __init__(self, url: str) -> None:
        self.url = parse(url)
        self._lock_file: int | None = None
        with translated(self.url):
            self._take_lock_file()
            self.engine = _engine(self.url)
            try:
                self.connection = self._connect()
            except BaseException:
                self.engine.dispose()
                self._release_lock_file()
                raise

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite; PostgreSQL otherwise."""
        return self.url.get_backend_name() == "sqlite"

    def reconnect(self) -> Connection:
        """A new connection in place of a broken one (a PostgreSQL server that was restarted). Takes the lock again."""
        with contextlib.suppress(Exception):  # the broken one may fail in any way, and nothing hangs on it
            self.connection.close()
        if self._lock_file is None:
            self._take_lock_file()
        self.connection = self._connect()
        return self.connection

    def rest(self) -> None:
        """Give connection and lock back until the next use, which takes both again, or finds another writer."""
        self.close()

    def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(DBAPIError):
            self.connection.close()
        self.engine.dispose()
        self._release_lock_file()

    def _connect(self) -> Connection:
        connection = self.engine.connect()
        try:
            if not self.sqlite:
                _take_advisory_lock(connection, shown(self.url))
            _prepare(connection, shown(self.url))
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_lock_file(self) -> None:
        """An flock beside the database: POSIX locks on the file itself are SQLite's."""
        if not self.sqlite or is_memory(self.url):
            return
        path = Path(f"{self.url.database}.lock")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unwritable(path, error, f"{path} cannot be created") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise _second_writer(shown(self.url)) from None
        self._lock_file = handle

    def _release_lock_file(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def _second_writer(where: str) -> Occupied:
    return Occupied(f"another bridge is writing to {where}: stop it first; only one may write at a time")


def _take_advisory_lock(connection: Connection, where: str) -> None:
    """Held by the session, so it ends with the connection. Not through pgbouncer in transaction mode."""
    lock = text("SELECT pg_try_advisory_lock(:key, hashtext(coalesce(current_schema(), '')))")
    with connection.begin():
        if not connection.scalar(lock, {"key": _WRITER}):
            raise _second_writer(where)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        # The positional style, so that prepared statements take plain tuples on both databases.
        return create_engine(
            url, poolclass=StaticPool, paramstyle="format", connect_args={"connect_timeout": BUSY_TIMEOUT}
        )
    engine = create_engine(
        url,
        poolclass=StaticPool,
        connect_args={"timeout": BUSY_TIMEOUT, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an audit record survives a power cut
            "foreign_keys=ON",
            "secure_delete=ON",  # erased means erased (redaction)
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        raw: Any = connection.connection.driver_connection
        raw.execute("BEGIN IMMEDIATE")

    return engine


def _prepare(connection: Connection, where: str) -> None:
    """Bring an older or empty database up to date; refuse a foreign or newer one."""
    with connection.begin():
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            tables = connection.scalar(text("SELECT count(*) FROM sqlite_master"))
            application = connection.scalar(text("PRAGMA application_id"))
            if tables and application != APPLICATION_ID:
                raise Stop(f"{where} is another program's database: name a file of the bridge's own")
            ours = bool(tables)
        else:
            ours = inspect(connection).has_table("alembic_version")
            if not ours and inspect(connection).has_table("entry"):
                raise Stop(f"{where} holds another program's tables: give the bridge a database or schema of its own")
        version = connection.scalar(text("SELECT version_num FROM alembic_version")) if ours else None
        if version == HEAD:
            return
        _migrate(connection, where)
        if sqlite:
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")


def _migrate(connection: Connection, where: str) -> None:
    from alembic import command  # noqa: PLC0415 - a third of a second that an up-to-date database need not pay
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    try:
        with _migrating:
            views.drop(connection)
            command.upgrade(config, "head")
            views.create(connection)
    except CommandError:
        raise Stop(
            f"{where} was written by a newer bridge: install that version, or restore a backup of this one's"
        ) from None


# --- Reading --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """A connection that cannot write, on the database as it is at this moment.

    Raises NoLedger where there is none, Damaged for a foreign database, Stop for one of another version.
    """
    parsed = parse(url)
    with translated(parsed):
        engine = reading_engine(parsed)
        try:
            with engine.connect() as connection, connection.begin():
                check_ledger(connection, shown(parsed))
                yield connection
        finally:
            engine.dispose()


def answers(url: str) -> None:
    """That somebody is let into the database. Raises ConfigError or RetryLater where not."""
    parsed = parse(url)
    with translated(parsed):
        engine = reading_engine(parsed)
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        finally:
            engine.dispose()


def address(url: str) -> str:
    """The URL as the database's own library takes it, for reading only."""
    parsed = parse(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    return f"file:{quote(str(Path(str(parsed.database)).absolute()))}?mode=ro"


def reading_engine(url: URL) -> Engine:
    """Connections that cannot write, each in a transaction of its own; threads may use it at once.

    Raises ConfigError for a URL that cannot be read from elsewhere, NoLedger where there is no file.
    """
    if url.get_backend_name() == "postgresql":
        options = f"{url.query.get('options', '')} -c default_transaction_read_only=on".strip()
        return create_engine(
            url, isolation_level="REPEATABLE READ", connect_args={"connect_timeout": BUSY_TIMEOUT, "options": options}
        )
    if is_memory(url):
        raise ConfigError("an in-memory ledger cannot be read from elsewhere: name a file")
    path = Path(str(url.database)).absolute()
    if not path.is_file():
        raise NoLedger(f"there is no ledger at {path} yet: run `bridge once` first, or check the path (BRIDGE_STORE)")
    uri = address(str(url))
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        ),
        poolclass=QueuePool,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")  # deferred: the first read takes the snapshot

    return engine


def check_ledger(connection: Connection, where: str) -> None:
    """That this is a ledger of this version. Raises NoLedger, Damaged for a foreign database, Stop for another one."""
    if connection.dialect.name == "sqlite" and connection.scalar(text("PRAGMA application_id")) != APPLICATION_ID:
        raise Damaged(
            f"{where} is another program's database, or damaged: name a file of the bridge's own, or restore the last "
            "backup"
        )
    try:
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(error.orig, sqlite3.OperationalError):
            raise  # damaged
        raise NoLedger(f"there is no ledger in {where} yet: run `bridge once` first, or check BRIDGE_STORE") from None
    if version is None:
        raise Damaged(f"{where} is damaged: it does not say of which version it is. Restore the last backup")
    if version != HEAD:
        raise Stop(
            f"{where} is of another version of the bridge ({version}, not {HEAD}): bring an older one up to date with "
            "this version's `bridge db upgrade`, or install the newer bridge that wrote it"
        )


def streamed(connection: Connection, query: str) -> Any:
    """A cursor over many rows, a part of them in memory at a time. The caller's transaction, and the caller's to close.

    On SQLite it is the driver's: SQLAlchemy's rows cost more than the reading. Errors are the same.
    """
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        return raw.execute(query)
    return connection.exec_driver_sql(query, execution_options={"yield_per": _AT_ONCE})


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For reading very many rows that all stay: the collector would look at each of them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
