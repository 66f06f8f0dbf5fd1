"""What is done beside the daemon is recorded by the daemon, once, and nothing that lies around stops it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.errors import ConfigError
from bridge.store import schema
from bridge.store.database import snapshot
from bridge.store.ledger import Ledger
from bridge.store.notes import leave, take_in
from bridge.store.schema import EntryKind
from tests.store.lives import T0, Clock

SECOND = timedelta(seconds=1)


def kinds(url: str) -> list[str]:
    with snapshot(url) as connection:
        return list(connection.scalars(select(schema.event.c.kind).order_by(schema.event.c.seq)))


def test_what_was_left_is_recorded_once_in_the_order_and_at_the_time_that_it_happened(url: str, tmp_path: Path) -> None:
    box = tmp_path / "state"
    leave(box, EntryKind.RESUME, {"by": "Léa"}, T0 + SECOND)
    leave(box, EntryKind.PAUSE, {"by": "Léa", "reason": "«migration»"}, T0)
    with Ledger.open(url, now=Clock(T0 + 9 * SECOND)) as ledger:
        assert take_in(ledger, box) == []
        assert take_in(ledger, box) == []
        paused = ledger.last_event(EntryKind.PAUSE)
        assert ledger.last_of((EntryKind.PAUSE, EntryKind.RESUME)) is EntryKind.RESUME
    assert paused == {"at": "2026-11-24T09:00:00.000Z", "by": "Léa", "reason": "«migration»"}
    assert kinds(url) == ["pause", "resume"]
    assert list(box.iterdir()) == []


def test_a_note_that_a_crash_left_behind_is_not_recorded_twice(url: str, tmp_path: Path) -> None:
    leave(tmp_path, EntryKind.LOGIN, {"by": "Léa"}, T0)
    [path] = tmp_path.glob("note-*")
    content = path.read_bytes()
    with Ledger.open(url, now=Clock()) as ledger:
        take_in(ledger, tmp_path)
        path.write_bytes(content)
        take_in(ledger, tmp_path)
    assert kinds(url) == ["login"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"at":"2026-11-24T09:00:00Z","facts":{},"kind":"genesis"}',
        b'{"at":"2026-11-24T09:00:00Z","facts":{},"kind":"nonsense"}',
        b'{"at":"2026-11-24T09:00:00","facts":{},"kind":"pause"}',
        b'{"at":"2026-11-24T09:00:00Z","facts":[],"kind":"pause"}',
        b'{"at":1,"facts":{},"kind":"pause"}',
    ],
)
def test_what_is_no_note_is_put_aside_and_named(url: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "note-1.json").write_bytes(content)
    (tmp_path / "note-2.json").mkdir()
    with Ledger.open(url, now=Clock()) as ledger:
        assert take_in(ledger, tmp_path) == ["note-1.json", "note-2.json"]
        assert take_in(ledger, tmp_path) == []
    assert kinds(url) == []
    assert (tmp_path / "note-1.strange").read_bytes() == content


def test_where_no_note_can_be_left_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be written"):
        leave(tmp_path / "state", EntryKind.PAUSE, {}, T0)
