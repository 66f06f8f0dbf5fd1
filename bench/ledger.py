"""The ledger beside two stores without a chain, in the same run: sqlite-utils, and django-auditlog (models and ORM).

All three write the same event to SQLite with a write-ahead log and synchronous=FULL: a committed event survives a power
cut. They take turns, and the best round counts. Then a ledger of a million entries: proofs, verification, size. And the
same beside django-auditlog on a throw-away PostgreSQL that syncs each commit (Debian's postgresql-common).
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bridge.domain.model import (
    ActivityId,
    Allowed,
    ChangeKey,
    Kind,
    Listed,
    PartyName,
    ProjectId,
    StatusChange,
    StatusId,
    StatusName,
    TypeId,
    UserId,
    WorkPackageId,
)
from bridge.store.audit import verify
from bridge.store.checkpoint import SigningKey
from bridge.store.database import snapshot
from bridge.store.ledger import Decision, Ledger, TicketReading
from bridge.store.record import stored_tree
from bridge.store.schema import EntryKind
from bridge.store.seal import seal

BATCH = 100
ROUNDS = 5
AT = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
EVENT = {
    "by": "client",
    "from": "EN COURS DE TEST",
    "person": 59,
    "project": 11,
    "rule": "resolu-after-test",
    "to": "RESOLU",
}
"""A status move, as an audit log would hold it."""

Write = Callable[[int], None]
"""Writes so many events in one durable transaction."""


def ours(url: str) -> Write:
    ledger = Ledger.open(url, now=lambda: datetime.now(UTC))

    def write(count: int) -> None:
        with ledger.batch():
            for ticket in range(count):
                ledger.record(EntryKind.HOLD, EVENT, AT, WorkPackageId(ticket))

    return write


def sqlite_utils(path: Path) -> Write:
    """A table with the event's members as columns, and an index on ticket and time like ours."""
    import sqlite_utils as library

    database = library.Database(path)
    database.enable_wal()
    database.execute("PRAGMA synchronous=FULL")
    table = database.table("event")
    table.insert({"id": 0, "at": AT.isoformat(), "kind": "hold", "ticket": 0, **EVENT}, pk="id")
    table.create_index(["ticket"])
    table.create_index(["kind", "at"])
    number = 0

    def write(count: int) -> None:
        nonlocal number
        rows = []
        for ticket in range(count):
            number += 1
            rows.append({"id": number, "at": AT.isoformat(), "kind": "hold", "ticket": ticket, **EVENT})
        table.insert_all(rows, batch_size=count)

    return write


def django_auditlog(database: Mapping[str, object]) -> Write:
    """Its LogEntry, many at a time by ``bulk_create``."""
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "auditlog"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from auditlog.models import LogEntry
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command
    from django.db import transaction

    call_command("migrate", verbosity=0)
    kind = ContentType.objects.get_for_model(ContentType)
    changes = {name: [None, value] for name, value in EVENT.items()}

    def write(count: int) -> None:
        with transaction.atomic():
            LogEntry.objects.bulk_create(
                LogEntry(
                    content_type=kind,
                    object_pk=str(ticket),
                    object_id=ticket,
                    object_repr=f"#{ticket}",
                    action=LogEntry.Action.UPDATE,
                    changes=changes,
                    timestamp=AT,
                )
                for ticket in range(count)
            )

    return write


def rates(writers: dict[str, Write], count: int, transactions: int) -> dict[str, float]:
    """Events a second of each; they take turns, so that a slow moment of the machine hits all of them."""
    best = dict.fromkeys(writers, 0.0)
    for _ in range(ROUNDS):
        for name, write in writers.items():
            start = time.perf_counter()
            for _ in range(transactions):
                write(count)
            best[name] = max(best[name], count * transactions / (time.perf_counter() - start))
    return best


def show(title: str, found: dict[str, float], unit: str) -> None:
    print(title)
    first = next(iter(found.values()))
    for name, value in found.items():
        print(f"  {name:<16}  {value:>10,.0f} {unit}   {value / first:.2f} of the bridge's")


def milliseconds(run: Callable[[int], object], times: int) -> tuple[float, float]:
    """Median and worst of many runs."""
    taken = []
    for number in range(times):
        start = time.perf_counter()
        run(number)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken), max(taken)


def beside_peers(makers: dict[str, Callable[[], Write]], size: Callable[[str], int]) -> None:
    """``size`` tells the bytes that one of them takes."""
    writers = {}
    for name, make in makers.items():
        try:
            writers[name] = make()
        except ModuleNotFoundError as error:
            print(f"  ({name} is left out: {error})")
    show(
        f"events a second, durable, {BATCH} in a transaction (only the bridge chains them)",
        rates(writers, BATCH, 50),
        "/s",
    )
    show("transactions a second, durable, one event each", rates(writers, 1, 400), "/s")
    sizes = {}
    for name, write in writers.items():
        before = size(name)
        for _ in range(400):
            write(BATCH)
        sizes[name] = (size(name) - before) / (400 * BATCH)
    show("bytes an event, with all indexes", sizes, "B ")


def on_sqlite(directory: Path) -> None:
    files = {name: directory / f"{name}.db" for name in ("bridge", "sqlite-utils", "django-auditlog")}
    auditlog = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(files["django-auditlog"]),
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"},
    }
    beside_peers(
        {
            "bridge": lambda: ours(f"sqlite:///{files['bridge']}"),
            "sqlite-utils": lambda: sqlite_utils(files["sqlite-utils"]),
            "django-auditlog": lambda: django_auditlog(auditlog),
        },
        lambda name: files[name].stat().st_size,
    )


def on_postgresql() -> None:
    """In the environment that pg_virtualenv makes. Each has a database of its own."""
    import psycopg

    user, password, host, port = (os.environ[name] for name in ("PGUSER", "PGPASSWORD", "PGHOST", "PGPORT"))
    with psycopg.connect(autocommit=True) as server:
        version = server.execute("SHOW server_version").fetchone()
        print(f"PostgreSQL {version and version[0]}, synchronous_commit and fsync on")
        for name in ("ours", "theirs"):
            server.execute(f"CREATE DATABASE {name}")

        def size(name: str) -> int:
            database = "ours" if name == "bridge" else "theirs"
            server.execute("CHECKPOINT")
            found = server.execute("SELECT pg_database_size(%s)", (database,)).fetchone()
            return int(found[0]) if found else 0

        auditlog = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "theirs", "USER": user, "PASSWORD": password, "HOST": host, "PORT": port,
        }  # fmt: skip
        beside_peers(
            {
                "bridge": lambda: ours(f"postgresql://{user}:{password}@{host}:{port}/ours"),
                "django-auditlog": lambda: django_auditlog(auditlog),
            },
            size,
        )


def synchronised(directory: Path, tickets: int = 4_000) -> None:
    """What a first synchronisation writes: per ticket its listing, three activities as received, three decisions."""
    path = directory / "synchronised.db"
    fields = ("Statut", "Type", "Sujet", "Auteur")
    lines = [[f"{field} mis à Valeur", f"<strong>{field}</strong> mis à <i>Valeur</i>"] for field in fields]
    batches = []
    old, new = StatusId(1), StatusId(2)
    for first in range(0, tickets, 200):
        readings, decisions = [], []
        for ticket in map(WorkPackageId, range(first + 1, first + 201)):
            activities = []
            for number in range(3):
                id_ = ActivityId(3 * ticket + number)
                received = {
                    "_type": "Activity", "id": id_, "version": number + 1, "workPackage": ticket, "user": 59,
                    "createdAt": "2026-11-24T09:00:00.000Z", "updatedAt": "2026-11-24T09:00:00.000Z", "comment": "",
                    "details": lines if number == 0 else lines[:1], "internal": False,
                }  # fmt: skip
                activities.append((int(id_), "2026-11-24T09:00:00.000Z", received))
                change = StatusChange(ChangeKey(id_, 0), Kind.MOVE, old, new, UserId(59), AT, AT, maybe_merged=False)
                decisions.append(
                    Decision(
                        work_package=ticket, project=ProjectId(11), change=change, verdict=Allowed(), at=AT,
                        party=PartyName("client"), policy_hash="a policy", origin=StatusName("NOUVEAU"),
                        target=StatusName("EN COURS"), type="Anomalie",
                    )
                )  # fmt: skip
            readings.append(TicketReading(Listed(ticket, ProjectId(11), new, TypeId(1)), activities))
        batches.append((readings, decisions))
    with Ledger.open(f"sqlite:///{path}", now=lambda: datetime.now(UTC)) as ledger:
        start = time.process_time()
        for readings, decisions in batches:
            with ledger.batch():
                ledger.observe(readings, at=AT)
                for place in range(0, len(decisions), 3):
                    ledger.decide(decisions[place : place + 3])
        taken = time.process_time() - start
        entries = ledger.writer.size
        start = time.perf_counter()
        ledger.known()
        known = time.perf_counter() - start
    size = path.stat().st_size
    print(f"a first synchronisation of {tickets:,} tickets, {entries / tickets:.0f} entries each")
    print(
        f"  {1000 * taken / tickets:.2f} ms of CPU and {size / tickets / 1024:.1f} KiB a ticket, "
        f"{size / entries:.0f} bytes an entry"
    )
    print(f"  all tickets read back in {1000 * known:.0f} ms")


def at_scale(directory: Path, entries: int) -> None:
    path = directory / "million.db"
    url = f"sqlite:///{path}"
    start = time.perf_counter()
    with Ledger.open(url, now=lambda: datetime.now(UTC)) as ledger:
        for _ in range(entries // 1000):
            with ledger.batch():
                for ticket in range(1000):
                    ledger.record(EntryKind.HOLD, EVENT, AT, WorkPackageId(ticket))
        size = seal(ledger, SigningKey.create(directory / "key.pem")).size
    print(f"a ledger of {size:,} entries: {path.stat().st_size / size:.0f} bytes an entry, "
          f"written in {time.perf_counter() - start:.0f} s")  # fmt: skip
    dice = random.Random(1)
    with snapshot(url) as connection:
        tree = stored_tree(connection)
        inclusion = milliseconds(lambda _: tree.inclusion(dice.randrange(size), size), 300)
        consistency = milliseconds(lambda _: tree.consistency(dice.randrange(1, size), size), 300)
    print(f"  proof of one entry         {inclusion[0]:.2f} ms (worst {inclusion[1]:.2f})")
    print(f"  proof between checkpoints  {consistency[0]:.2f} ms (worst {consistency[1]:.2f})")
    for tables in (False, True):
        start, before = time.perf_counter(), cpu()
        verdict = verify(url, tables=tables)
        taken, used = time.perf_counter() - start, cpu() - before
        assert verdict.holds, verdict.findings
        what = "and every table of the reports" if tables else "entries, chain, tree, checkpoints"
        print(f"  verify: {what:<34} {taken:.1f} s ({size / taken:,.0f} entries/s), {used:.1f} s of CPU")


def cpu() -> float:
    """Seconds of this process and those that it has waited for."""
    return sum(os.times()[:4])


def main() -> None:
    if sys.argv[1:] == ["--postgresql"]:
        on_postgresql()
        return
    entries = int(sys.argv[-1]) if sys.argv[-1].isdecimal() else 1_000_000
    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as name:
        on_sqlite(Path(name))
        synchronised(Path(name))
        at_scale(Path(name), entries)
    if shutil.which("pg_virtualenv") is None:
        raise SystemExit("pg_virtualenv is missing: apt-get install postgresql postgresql-common")
    command = ["pg_virtualenv", "-t", sys.executable, "-m", "bench.ledger", "--postgresql"]
    raise SystemExit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
