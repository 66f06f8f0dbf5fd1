"""What is hashed and signed is what docs/audit.md says, also when nothing happened."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select

from bridge.errors import ConfigError, Stop
from bridge.store import checkpoint, schema
from bridge.store.audit import checkpoints, verify
from bridge.store.chain import START, commitment, leaf_hash, link
from bridge.store.checkpoint import Checkpoint, SigningKey, VerifyKey, WrongKey
from bridge.store.database import snapshot
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import is_due, keep, kept, seal
from tests.store.lives import T0, Clock

HOUR = timedelta(hours=1)
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


# --- The bytes ------------------------------------------------------------------------------------------------------


def test_an_entry_is_hashed_the_way_the_documentation_says() -> None:
    committed = commitment(bytes(16), b'{"at":"2026-11-24T09:00:00.000Z"}')
    assert committed.hex() == hashlib.sha256(bytes(16) + b'{"at":"2026-11-24T09:00:00.000Z"}').hexdigest()
    for ticket in (None, 7):
        leaf: dict[str, object] = {"at": 1764, "commitment": committed.hex(), "kind": "cycle", "seq": 3}
        if ticket is not None:
            leaf["work_package"] = ticket
        text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
        assert leaf_hash(3, 1764, "cycle", ticket, committed) == hashlib.sha256(b"\0" + text.encode()).digest()
    assert link(START, committed) == hashlib.sha256(bytes(32) + committed).digest()


def test_the_hashes_never_change() -> None:
    """Written once: every record there is depends on them."""
    committed = commitment(bytes(range(16)), '{"name":"Chloé"}'.encode())
    leaf = leaf_hash(2, 1_795_510_800_000_000, "person", None, committed)
    chain = link(START, leaf)
    assert [each.hex()[:16] for each in (committed, leaf, chain)] == [
        "3e02fb944a9b0a55",
        "9acb1b936762eb8e",
        "2ad73b5b03800c34",
    ]


def test_a_checkpoint_is_a_signed_note_that_anybody_can_check() -> None:
    head = Checkpoint("bridge/0123", 5, bytes(32), T0, bytes(32), 60, 1)
    note = KEY.sign(head)
    text, signatures = note.split("\n\n")
    assert text.split("\n") == [
        "bridge/0123",
        "5",
        base64.b64encode(bytes(32)).decode(),
        "time 2026-11-24T09:00:00Z",
        f"chain {'00' * 32}",
        "polls 60 1",
    ]
    dash, name, encoded = signatures.strip().split(" ")
    assert (dash, name) == ("\u2014", "bridge/0123")
    decoded = base64.b64decode(encoded)
    public = KEY.private.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert decoded[:4] == hashlib.sha256(b"bridge/0123\n\x01" + raw).digest()[:4]
    Ed25519PublicKey.from_public_bytes(raw).verify(decoded[4:], f"{text}\n".encode())
    assert checkpoint.read(note) == head
    assert VerifyKey.parse(str(KEY.verify_key("bridge/0123"))) == KEY.verify_key("bridge/0123")


@pytest.mark.parametrize("place", range(0, 330, 7))
def test_no_changed_note_passes_for_a_signed_one(place: int) -> None:
    note = KEY.sign(Checkpoint("bridge/0123", 5, bytes(32), T0, bytes(32), 60, 1)).encode()
    changed = bytearray(note)
    changed[place % len(note)] ^= 1
    with pytest.raises(ValueError, match=r"."):
        checkpoint.verify(changed.decode("utf-8", "replace"), [KEY.verify_key("bridge/0123")])


def test_another_key_is_told_apart_from_a_changed_note() -> None:
    note = KEY.sign(Checkpoint("bridge/0123", 5, bytes(32), T0, bytes(32), 60, 1))
    other = SigningKey(Ed25519PrivateKey.generate()).verify_key("bridge/0123")
    with pytest.raises(WrongKey, match="signed by another key"):
        checkpoint.verify(note, [other])
    assert checkpoint.verify(note, [other, KEY.verify_key("bridge/0123")]).size == 5


# --- Sealing --------------------------------------------------------------------------------------------------------


def test_a_checkpoint_tells_of_polls_done_and_missed_also_when_nothing_happened(url: str, tmp_path: Path) -> None:
    clock = Clock()
    with Ledger.open(url, now=clock) as ledger:
        assert is_due(ledger, HOUR)
        for minute in range(3):
            ledger.observe([], at=T0, watermark=T0 + timedelta(minutes=minute))
        ledger.record(EntryKind.MISSED, {"cycles": 4}, T0)
        seal(ledger, KEY, tmp_path / "seen")
        clock.now += HOUR - timedelta(seconds=1)
        assert not is_due(ledger, HOUR)
        clock.now += timedelta(seconds=1)
        assert is_due(ledger, HOUR)
        head = seal(ledger, KEY, tmp_path / "seen")
    first, second = checkpoints(url)
    assert (first.polls_done, first.polls_missed) == (3, 4)
    assert (second.polls_done, second.polls_missed) == (0, 0)
    assert second.size == head.size == first.size + 1
    assert (tmp_path / "seen").read_text() == second.note
    with snapshot(url) as connection:
        beats = connection.scalars(select(schema.entry.c.payload).where(schema.entry.c.kind == "beat")).all()
    assert [json.loads(beat)["polls_done"] for beat in beats] == [3, 0]


def test_a_new_key_is_written_into_the_record_and_both_are_good(url: str, tmp_path: Path) -> None:
    seen, other = tmp_path / "seen", SigningKey(Ed25519PrivateKey.generate())
    with Ledger.open(url, now=Clock()) as ledger:
        seal(ledger, KEY, seen)
        head = seal(ledger, other, seen)
        seal(ledger, other, seen)
    both = [KEY.verify_key(head.origin), other.verify_key(head.origin)]
    assert verify(url, keys=both, notes=[seen.read_text()]).findings == ()
    assert verify(url).keys == tuple(map(str, both))
    assert {finding.kind for finding in verify(url, keys=both[1:]).findings} == {"key"}
    assert verify(url, own=both[1]).findings == ()
    stranger = SigningKey(Ed25519PrivateKey.generate()).verify_key(head.origin)
    assert {finding.kind for finding in verify(url, own=stranger).findings} == {"key"}


def test_a_damaged_last_checkpoint_stops_the_signing(url: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    with Ledger.open(url, now=Clock()) as ledger:
        seal(ledger, KEY, seen)
        good = seen.read_text()
        for bad in ("", "nonsense", good.replace("polls 0", "polls 7")):
            seen.write_text(bad)
            with pytest.raises(Stop, match="seen"):
                seal(ledger, KEY, seen)
        keep(seen, good)
        assert seal(ledger, KEY, seen).size > 0
        with pytest.raises(ConfigError, match="cannot be kept"):
            keep(tmp_path / "nowhere" / "seen", good)
        seen.write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match="cannot be read"):
            kept(seen)


@pytest.mark.parametrize("there", ["at once", "after a process was killed over it"])
def test_a_key_for_which_there_is_no_room_leaves_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    path = tmp_path / "key.pem"
    if there != "at once":
        path.with_name("key.pem.new").write_bytes(b"-----BEGIN")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        with pytest.raises(Stop, match="no room left for"):
            SigningKey.load_or_create(path)
        assert not [*tmp_path.iterdir()]
    assert SigningKey.load_or_create(path).verify_key("x") == SigningKey.load(path).verify_key("x")


def no_room(_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = SigningKey.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load_or_create(path).verify_key("x") == made.verify_key("x")
    assert "private" not in repr(made)
    with pytest.raises(ConfigError, match="cannot be created"):
        SigningKey.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        SigningKey.load(path)
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(ConfigError, match="no signing key"):
        SigningKey.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        SigningKey.load(tmp_path / "none.pem")
