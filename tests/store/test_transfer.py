"""A ledger that is carried elsewhere is the same ledger, and one that lost its end says so."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select, text

from bridge.errors import ConfigError, Stop
from bridge.store import schema
from bridge.store.audit import verify
from bridge.store.checkpoint import SigningKey
from bridge.store.database import snapshot
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from bridge.store.transfer import backup, migrate, restore
from tests.store.databases import POSTGRESQL, connected
from tests.store.lives import Clock, live

KEY = SigningKey(Ed25519PrivateKey.generate())


def lived(url: str, seen: Path, seed: int = 1) -> int:
    with Ledger.open(url, now=Clock()) as ledger:
        with ledger.batch():
            live(ledger, Clock(), random.Random(seed))
        return seal(ledger, KEY, seen).size


def rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    with snapshot(url) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in schema.metadata.sorted_tables
        }


@pytest.mark.parametrize("other", ["sqlite", POSTGRESQL])
def test_a_ledger_moves_to_the_other_database_and_goes_on_there(
    fresh: Callable[..., str], kind: str, other: str, tmp_path: Path
) -> None:
    source, target = fresh(kind), fresh(other)
    lived(source, tmp_path / "seen")
    assert migrate(source, target).holds
    assert rows(source) == rows(target)
    with Ledger.open(target, now=Clock()) as ledger:
        live(ledger, Clock(), random.Random(2))
        seal(ledger, KEY, tmp_path / "seen")
    assert verify(target, notes=[(tmp_path / "seen").read_text()]).findings == ()


def test_a_ledger_moves_only_into_an_empty_database_and_not_while_it_is_written(
    fresh: Callable[..., str], kind: str, tmp_path: Path
) -> None:
    source, target = fresh(kind), fresh(kind)
    lived(source, tmp_path / "seen")
    with Ledger.open(target, now=Clock()):
        pass
    with pytest.raises(ConfigError, match="holds a ledger already"):
        migrate(source, target)
    with Ledger.open(source, now=Clock()), pytest.raises(Stop, match="only one may write"):
        migrate(source, fresh(kind))


def test_a_backup_is_one_file_that_comes_back_as_it_was(
    url: str, fresh: Callable[..., str], kind: str, tmp_path: Path
) -> None:
    size = lived(url, tmp_path / "seen")
    path = tmp_path / "backup.db"
    with Ledger.open(url, now=Clock()):  # in use
        assert backup(url, path).entries == size
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir() if "backup" in each.name) == ["backup.db"]
    target = fresh(kind)
    restored = restore(path, target, now=Clock(), last_seen=tmp_path / "seen")
    assert restored.lost is None
    with Ledger.open(target, now=Clock()) as ledger:
        assert ledger.last_event(EntryKind.RESTORE) == {
            "at": "2026-11-24T09:00:00.000Z", "backup": "backup.db", "entries": size
        }  # fmt: skip
        seal(ledger, KEY, tmp_path / "seen")
    assert verify(target, notes=[(tmp_path / "seen").read_text()]).findings == ()


def test_a_backup_that_is_too_old_comes_back_only_with_a_word_about_the_loss(tmp_path: Path) -> None:
    url, seen, path = f"sqlite:///{tmp_path}/a.db", tmp_path / "seen", tmp_path / "backup.db"
    size = lived(url, seen)
    backup(url, path)
    later = lived(url, seen, seed=2)
    target = f"sqlite:///{tmp_path}/b.db"
    with pytest.raises(ConfigError, match=f"ends at entry {size}, but {later} were signed"):
        restore(path, target, now=Clock(), last_seen=seen)
    note = seen.read_text()
    restored = restore(path, target, now=Clock(), last_seen=seen, accept_loss=True)
    assert restored.lost is not None
    assert restored.lost.size == later
    assert (tmp_path / "seen.lost").read_text() == note
    with Ledger.open(target, now=Clock()) as ledger:
        said = ledger.last_event(EntryKind.RESTORE)
        assert said is not None
        assert said["lost"] == note
        seal(ledger, KEY, seen)
    assert verify(target).findings == ()


def test_nothing_is_signed_over_a_ledger_that_lost_its_end(tmp_path: Path) -> None:
    path, seen = tmp_path / "bridge.db", tmp_path / "seen"
    lived(f"sqlite:///{path}", seen)
    shutil.copy(path, tmp_path / "older.db")
    lived(f"sqlite:///{path}", seen, seed=2)
    shutil.copy(tmp_path / "older.db", path)
    before = seen.read_text()
    with Ledger.open(f"sqlite:///{path}", now=Clock()) as ledger:
        with pytest.raises(Stop, match="its end was cut off, or an older copy was put in its place"):
            seal(ledger, KEY, seen)
        while ledger.writer.size < 300:
            live(ledger, Clock(), random.Random(3))
        with pytest.raises(Stop, match="are not those signed"):
            seal(ledger, KEY, seen)
    assert seen.read_text() == before
    with (
        Ledger.open(f"sqlite:///{tmp_path}/other.db", now=Clock()) as ledger,
        pytest.raises(Stop, match="another ledger"),
    ):
        seal(ledger, KEY, seen)


def test_a_backup_that_does_not_hold_is_not_restored(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/a.db", tmp_path / "backup.db"
    lived(url, tmp_path / "seen")
    backup(url, path)
    with pytest.raises(ConfigError, match="is there already"):
        backup(url, path)
    with connected(f"sqlite:///{path}") as connection:
        connection.execute(text("UPDATE entry SET at = at + 1 WHERE seq = 3"))
    with pytest.raises(Stop, match=r"backup\.db does not hold: entry 3"):
        restore(path, f"sqlite:///{tmp_path}/b.db", now=Clock())
    assert not (tmp_path / "b.db").exists()
    with pytest.raises(ConfigError, match="there is no backup"):
        restore(tmp_path / "none.db", f"sqlite:///{tmp_path}/b.db", now=Clock())
    with pytest.raises(ConfigError, match="cannot be written"):
        backup(url, tmp_path / "nowhere" / "backup.db")
