"""Signing what is there: a checkpoint at every interval, also when nothing happened, and the last one kept elsewhere.

Who can change the database can also cut its end off, together with its checkpoints. So the last signed note is kept in
a file of its own beside the key, and nothing is signed that does not continue it.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import orjson
from sqlalchemy import func, insert, select

from bridge.errors import ConfigError, Stop
from bridge.store import checkpoint, schema
from bridge.store.checkpoint import Checkpoint, SigningKey, VerifyKey, WrongKey
from bridge.store.database import unwritable
from bridge.store.ledger import Ledger
from bridge.store.projection import iso
from bridge.store.record import stored_tree
from bridge.store.schema import EntryKind
from bridge.store.views import fact
from bridge.store.writer import Writer


def seal(ledger: Ledger, key: SigningKey, last_seen: Path | None = None) -> Checkpoint:
    """Write a beat with the polls since the last one, and sign everything up to it.

    ``last_seen`` is the file that keeps the last signed note. Raises Stop where the ledger does not continue that note:
    it was cut, rewritten, replaced or restored (``bridge db restore`` says so itself).
    """
    writer = ledger.writer
    with ledger.batch():
        origin = origin_of(writer)
        verify_key = key.verify_key(origin)
        if last_seen is not None:
            _must_continue(writer, last_seen, verify_key)
        if _present_key(writer) != str(verify_key):
            writer.append(EntryKind.KEY, None, {"at": iso(writer.at()), "key": str(verify_key)})
        done, missed = (int(writer.meta(name) or 0) for name in ("polls_done", "polls_missed"))
        writer.append(EntryKind.BEAT, None, {"at": iso(writer.at()), "polls_done": done, "polls_missed": missed})
        writer.flush()
        head = Checkpoint(origin, writer.size, writer.tree.root(), writer.at(), writer.chain, done, missed)
        note = key.sign(head)
        writer.execute(insert(schema.checkpoint).values(size=head.size, at=head.at, root=head.root, note=note))
        writer.set_meta("polls_done", "0")
        writer.set_meta("polls_missed", "0")
    if last_seen is not None:
        keep(last_seen, note)
    return head


def is_due(ledger: Ledger, interval: timedelta) -> bool:
    """Whether the last checkpoint is older than the interval, by the bridge's own clock, or there is none."""
    with ledger.batch():
        rows = ledger.writer.read(select(func.max(schema.checkpoint.c.at)))
        last: datetime | None = rows[0][0]
        return last is None or ledger.writer.at() - last >= interval


def unpublished(ledger: Ledger, to: str, interval: timedelta) -> tuple[int, str] | None:
    """Size and note of the last checkpoint, where it is time to give one to ``to`` again; None where it is not."""
    with ledger.batch():
        given = ledger.last_publication(to)
        column = schema.checkpoint.c
        rows = ledger.writer.read(select(column.size, column.note).order_by(column.size.desc()).limit(1))
        if not rows or (given is not None and ledger.writer.at() - given < interval):
            return None
        return rows[0][0], rows[0][1]


def keep(path: Path, note: str) -> None:
    """Put a note into its file, whole or not at all. Raises ConfigError where that cannot be done, Stop for no room."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise unwritable(path, error, f"the last checkpoint cannot be kept in {path}") from None


def kept(path: Path) -> str | None:
    """The note in the file; None where there is no file. Raises ConfigError where it cannot be read."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the last checkpoint cannot be read from {path}: {error}") from None


def origin_of(writer: Writer) -> str:
    """The ledger's name in its checkpoints: its own random number, so that no two are ever mixed up."""
    rows = writer.read(select(fact.c.payload).where(fact.c.seq == 1))
    if not rows:
        raise Stop("the ledger's first entry is missing: run bridge audit verify")
    return f"bridge/{orjson.loads(rows[0][0])['ledger']}"


def _present_key(writer: Writer) -> str | None:
    event = schema.event.c
    last = select(func.max(event.seq)).where(event.kind == EntryKind.KEY.value).scalar_subquery()
    rows = writer.read(select(fact.c.payload).where(fact.c.seq == last))
    return orjson.loads(rows[0][0])["key"] if rows else None


def _must_continue(writer: Writer, last_seen: Path, key: VerifyKey) -> None:
    note = kept(last_seen)
    if note is None:
        return
    try:
        before = checkpoint.verify(note, [key])
    except WrongKey:
        try:
            before = checkpoint.read(note)  # the key was changed since; the tree still has to continue it
        except ValueError:
            raise Stop(f"{last_seen} holds no checkpoint: put the last one back, or remove the file") from None
    except ValueError as error:
        raise Stop(f"{last_seen}: {error}") from None
    if before.origin != key.name:
        raise Stop(
            f"this is another ledger ({key.name}) than the one signed last ({before.origin}): nothing was signed"
        )
    if before.size > writer.size:
        raise Stop(
            f"the ledger ends at entry {writer.size}, but entry {before.size} was signed at {before.at:%Y-%m-%d %H:%M} "
            "UTC: its end was cut off, or an older copy was put in its place. Nothing was signed"
        )
    if stored_tree(writer.connection).root(before.size) != before.root:
        raise Stop(
            f"the ledger's first {before.size} entries are not those signed at {before.at:%Y-%m-%d %H:%M} UTC: "
            "run bridge audit verify. Nothing was signed"
        )
