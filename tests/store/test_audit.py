"""Whoever changes the record is found out, and the first bad entry is named."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Row, Table, delete, insert, select, text

from bridge.store import audit
from bridge.store.audit import Verdict, verify
from bridge.store.chain import START, leaf_hash, link
from bridge.store.checkpoint import Checkpoint, SigningKey, VerifyKey
from bridge.store.ledger import Ledger
from bridge.store.record import entries
from bridge.store.schema import EntryKind, metadata
from bridge.store.seal import seal
from tests.store.databases import POSTGRESQL, connected, databases
from tests.store.lives import Clock, live


@dataclass
class Sealed:
    """A ledger with a life behind it, sealed several times; and what an auditor holds against it."""

    url: str
    key: SigningKey
    public: VerifyKey
    last: Checkpoint
    note: str
    size: int
    clock: Clock
    rows: dict[Table, list[Row[Any]]] = field(default_factory=dict, repr=False)

    def remember(self) -> Self:
        """Keep every row, so that ``restore`` can undo whatever a test does."""
        with connected(self.url) as connection:
            self.rows = {table: list(connection.execute(select(table))) for table in metadata.sorted_tables}
        return self

    def restore(self) -> None:
        with connected(self.url) as connection:
            for table, rows in self.rows.items():
                connection.execute(delete(table))
                if rows:
                    connection.execute(insert(table), [row._asdict() for row in rows])

    def verify(self, **options: object) -> Verdict:
        return verify(self.url, keys=[self.public], notes=[self.note], **options)  # type: ignore[arg-type]

    def tamper(self, *statements: str, **values: object) -> None:
        with connected(self.url) as connection:
            for statement in statements:
                connection.execute(text(statement), values)

    def rehash(self, start: int) -> None:
        """Make the chain fit again from an entry on, as somebody would who has read docs/audit.md."""
        with connected(self.url) as connection:
            chain = START
            for entry in list(entries(connection)):
                if entry.seq >= start:
                    leaf = leaf_hash(entry.seq, entry.at, entry.kind, entry.work_package, entry.committed())
                    chain = link(chain, leaf)
                    _set_chain(connection, entry.seq, chain)
                else:
                    chain = entry.chain


def _set_chain(connection: Connection, seq: int, chain: bytes) -> None:
    connection.execute(text("UPDATE entry SET chain = :chain WHERE seq = :seq"), {"chain": chain, "seq": seq})


def make(url: str, directory: Path, seed: int) -> Sealed:
    clock = Clock()
    key = SigningKey(Ed25519PrivateKey.generate())
    seen = directory / f"{seed}.seen"
    dice = random.Random(seed)
    with Ledger.open(url, now=clock) as ledger:
        heads = []
        for _ in range(3):
            with ledger.batch():
                live(ledger, clock, dice)
                clock.now += timedelta(hours=1)
            heads.append(seal(ledger, key, seen))
        last = heads[-1]
        size = ledger.writer.size
    return Sealed(url, key, key.verify_key(last.origin), last, seen.read_text(), size, clock)


@pytest.fixture(scope="module", params=["sqlite", POSTGRESQL])
def ledgers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sealed]]:
    """A few honest ledgers, made once for all kinds of tampering."""
    directory = tmp_path_factory.mktemp("ledgers")
    with databases(request, directory) as fresh:
        yield [make(fresh(request.param, tables=True), directory, seed).remember() for seed in range(2)]


@pytest.fixture
def sealed(url: str, tmp_path: Path) -> Sealed:
    return make(url, tmp_path, 1)


def test_an_honest_ledger_holds(sealed: Sealed) -> None:
    verdict = sealed.verify()
    assert verdict.findings == ()
    assert verdict.holds
    assert (verdict.entries, verdict.covered, verdict.tables_checked) == (sealed.size, sealed.size, True)
    assert verdict.last_checkpoint == sealed.last.at
    assert verdict.checkpoints >= 2
    assert verify(sealed.url).keys == (str(sealed.public),)


# --- The table of tampering -----------------------------------------------------------------------------------------

Tampering = Callable[[Sealed, random.Random], int | None]
"""Changes something; returns the first entry that a verdict must name, None where none is to blame."""


def a_payload(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET payload = replace(payload, ':', ': ') WHERE seq = :seq", seq=seq)
    return seq


def a_time(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET at = at + 1 WHERE seq = :seq", seq=seq)
    return seq


def a_kind(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET kind = 'note' WHERE seq = :seq", seq=seq)
    return seq


def a_ticket(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET work_package = coalesce(work_package, 0) + 1 WHERE seq = :seq", seq=seq)
    return seq


def a_salt(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET salt = :salt WHERE seq = :seq", seq=seq, salt=bytes(16))
    return seq


def a_byte_moved_from_the_content_to_the_salt(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    with connected(sealed.url) as connection:
        [(payload, salt)] = connection.execute(text("SELECT payload, salt FROM entry WHERE seq = :seq"), {"seq": seq})
    sealed.tamper(
        "UPDATE entry SET payload = :rest, salt = :longer WHERE seq = :seq",
        seq=seq, rest=payload[1:], longer=bytes(salt) + payload[:1].encode(),
    )  # fmt: skip
    return seq


def a_chain_value(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET chain = :chain WHERE seq = :seq", seq=seq, chain=bytes(32))
    return seq


def a_commitment_beside_the_payload(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size)
    sealed.tamper("UPDATE entry SET commitment = :c WHERE seq = :seq", seq=seq, c=bytes(32))
    return seq


def a_deletion(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(1, sealed.size - 1)
    sealed.tamper("DELETE FROM entry WHERE seq = :seq", seq=seq)
    return seq


def a_deletion_with_the_rest_moved_up_and_hashed_again(sealed: Sealed, dice: random.Random) -> None:
    seq = dice.randint(2, sealed.size - 1)
    sealed.tamper(
        "DELETE FROM entry WHERE seq = :seq",
        "UPDATE entry SET seq = -seq WHERE seq > :seq",
        "UPDATE entry SET seq = -seq - 1 WHERE seq < 0",
        seq=seq,
    )
    sealed.rehash(seq)


def an_insertion(sealed: Sealed, dice: random.Random) -> None:
    seq = dice.randint(2, sealed.size)
    sealed.tamper(
        "UPDATE entry SET seq = -seq WHERE seq >= :seq",
        "UPDATE entry SET seq = -seq + 1 WHERE seq < 0",
        "INSERT INTO entry SELECT :seq, at, kind, work_package, payload, salt, commitment, chain, stands_for "
        "FROM entry WHERE seq = :seq - 1",
        seq=seq,
    )


def an_entry_before_the_first(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.choice([0, -1, -1000])
    sealed.tamper(
        "INSERT INTO entry SELECT :seq, at, kind, work_package, payload, salt, commitment, chain, stands_for "
        "FROM entry WHERE seq = 1",
        seq=seq,
    )
    return seq


def an_entry_far_behind_the_last(sealed: Sealed, dice: random.Random) -> int:
    sealed.tamper(
        "INSERT INTO entry SELECT :seq, at, kind, work_package, payload, salt, commitment, chain, stands_for "
        "FROM entry WHERE seq = 1",
        seq=dice.choice([10**6, 10**18]),
    )
    return sealed.size + 1


def two_entries_in_each_others_place(sealed: Sealed, dice: random.Random) -> int:
    first = dice.randint(1, sealed.size - 1)
    second = dice.randint(first + 1, sealed.size)
    sealed.tamper(
        "UPDATE entry SET seq = -1 WHERE seq = :first",
        "UPDATE entry SET seq = :first WHERE seq = :second",
        "UPDATE entry SET seq = :second WHERE seq = -1",
        first=first,
        second=second,
    )
    return first


def the_end_cut_off(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(2, sealed.size)
    sealed.tamper("DELETE FROM entry WHERE seq >= :seq", seq=seq)
    return seq


def the_end_cut_off_with_its_checkpoints(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(2, sealed.size)
    sealed.tamper("DELETE FROM entry WHERE seq >= :seq", "DELETE FROM checkpoint WHERE size >= :seq", seq=seq)
    return seq


def everything_hashed_again(sealed: Sealed, dice: random.Random) -> None:
    seq = dice.randint(2, sealed.size)
    sealed.tamper("UPDATE entry SET payload = replace(payload, ':', ': ') WHERE seq = :seq", seq=seq)
    sealed.rehash(seq)


def the_clock_set_back(sealed: Sealed, dice: random.Random) -> int:
    sealed.clock.now -= timedelta(days=dice.randint(1, 400))
    with Ledger.open(sealed.url, now=sealed.clock) as ledger:
        ledger.record(EntryKind.CYCLE, {}, sealed.clock.now)
    return sealed.size + 1


def another_ledger_in_its_place(sealed: Sealed, dice: random.Random) -> None:
    sealed.tamper("DELETE FROM entry", "DELETE FROM tile", "DELETE FROM checkpoint", "DELETE FROM meta", *_EMPTY)
    with Ledger.open(sealed.url, now=sealed.clock) as ledger:
        live(ledger, sealed.clock, dice)
        seal(ledger, sealed.key)


def another_ledger_signed_with_another_key(sealed: Sealed, dice: random.Random) -> None:
    sealed.tamper("DELETE FROM entry", "DELETE FROM tile", "DELETE FROM checkpoint", "DELETE FROM meta", *_EMPTY)
    with Ledger.open(sealed.url, now=sealed.clock) as ledger:
        live(ledger, sealed.clock, dice)
        seal(ledger, SigningKey(Ed25519PrivateKey.generate()))


def a_signed_note(sealed: Sealed, dice: random.Random) -> None:
    sealed.tamper(
        "UPDATE checkpoint SET note = replace(note, 'polls ', 'polls 1') WHERE size = :size", size=sealed.size
    )


def a_checkpoints_root(sealed: Sealed, dice: random.Random) -> None:
    sealed.tamper("UPDATE checkpoint SET root = :root WHERE size = :size", root=bytes(32), size=sealed.size)


def a_checkpoint_taken_away(sealed: Sealed, dice: random.Random) -> int:
    sealed.tamper("DELETE FROM checkpoint WHERE size = :size", size=sealed.size)
    return sealed.size


def a_stored_hash(sealed: Sealed, dice: random.Random) -> None:
    sealed.tamper("DELETE FROM tile", "INSERT INTO tile VALUES (1, 0, :hashes)", hashes=bytes(512))


def a_text_erased_without_an_entry(sealed: Sealed, dice: random.Random) -> int:
    seq = dice.randint(2, sealed.size)
    with connected(sealed.url) as connection:
        [entry] = [each for each in entries(connection) if each.seq == seq]
    sealed.tamper(
        "UPDATE entry SET payload = NULL, salt = NULL, commitment = :c WHERE seq = :seq", c=entry.committed(), seq=seq
    )
    return seq


def a_verdict_in_the_reports_table(sealed: Sealed, dice: random.Random) -> int:
    seq: int = dice.choice(_seqs(sealed, "decision"))
    sealed.tamper("UPDATE decision SET verdict = 'overruled' WHERE seq = :seq", seq=seq)
    return seq


def a_row_taken_from_the_reports_table(sealed: Sealed, dice: random.Random) -> int:
    seq: int = dice.choice(_seqs(sealed, "activity"))
    sealed.tamper("DELETE FROM activity WHERE seq = :seq", seq=seq)
    return seq


def a_row_put_into_the_reports_table(sealed: Sealed, dice: random.Random) -> int:
    seq = sealed.size + dice.randint(1, 9)
    sealed.tamper("INSERT INTO person VALUES (:seq, 1, 'Nobody', 0)", seq=seq)
    return seq


_EMPTY = [
    f"DELETE FROM {table}"
    for table in ("ticket", "activity", "status_name", "person", "role_spell", "policy", "decision", "action",
                  "enforcement", "event", "project_name", "type_name", "legal_hold")
]  # fmt: skip


def _seqs(sealed: Sealed, table: str) -> list[int]:
    return [row.seq for each, rows in sealed.rows.items() if each.name == table for row in rows]


TABLE: dict[Tampering, set[str]] = {
    a_payload: {"altered"},
    a_time: {"altered"},
    a_kind: {"altered"},
    a_ticket: {"altered"},
    a_salt: {"altered"},
    a_byte_moved_from_the_content_to_the_salt: {"altered"},
    a_chain_value: {"altered"},
    a_commitment_beside_the_payload: {"altered"},
    a_deletion: {"missing"},
    a_deletion_with_the_rest_moved_up_and_hashed_again: {"rewritten", "cut"},
    an_insertion: {"altered"},
    an_entry_before_the_first: {"inserted"},
    an_entry_far_behind_the_last: {"missing"},
    two_entries_in_each_others_place: {"altered"},
    the_end_cut_off: {"cut"},
    the_end_cut_off_with_its_checkpoints: {"cut"},
    everything_hashed_again: {"rewritten"},
    the_clock_set_back: {"clock"},
    another_ledger_in_its_place: {"swapped"},
    another_ledger_signed_with_another_key: {"key"},
    a_signed_note: {"checkpoint"},
    a_checkpoints_root: {"checkpoint"},
    a_checkpoint_taken_away: {"checkpoint"},
    a_stored_hash: {"tile"},
    a_text_erased_without_an_entry: {"erased"},
    a_verdict_in_the_reports_table: {"table"},
    a_row_taken_from_the_reports_table: {"table"},
    a_row_put_into_the_reports_table: {"table"},
}


@pytest.mark.parametrize("tampering", TABLE, ids=lambda each: each.__name__)
def test_tampering_is_found_and_its_place_named(tampering: Tampering, ledgers: list[Sealed]) -> None:
    for sealed in ledgers:
        sealed.restore()
        place = tampering(sealed, random.Random(sealed.size))
        verdict = sealed.verify()
        assert not verdict.holds
        assert {finding.kind for finding in verdict.findings} & TABLE[tampering], verdict.findings
        if place is not None:
            assert verdict.first_bad == place, verdict.findings


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_ledger_has_lived_through_any_tampering_with_it_is_found(
    fresh: Callable[..., str], kind: str, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    sealed = make(fresh(kind, tables=True), tmp_path, seed).remember()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audit, "_STRETCH", dice.choice([32, 2**16]))  # by several processes, or by one
        assert sealed.verify().findings == ()
        tampering = dice.choice(sorted(TABLE, key=lambda each: each.__name__))
        tampering(sealed, dice)
        assert {finding.kind for finding in sealed.verify().findings} & TABLE[tampering], tampering.__name__


@pytest.mark.parametrize("payload", [b"{}", b'{"at":1}', b"[]", b"{", b'{"at":"2026-11-24T09:00:00Z","person":{}}'])
def test_an_entry_that_says_nothing_that_can_be_read_is_a_finding(url: str, payload: bytes) -> None:
    with Ledger.open(url, now=Clock()) as ledger, ledger.batch():
        ledger.writer.draft(EntryKind.PERSON, None, payload)
    [finding] = verify(url).findings
    assert finding.kind == "table"
    assert "cannot be derived" in finding.message


def test_several_processes_find_what_one_finds(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = make(url, tmp_path, 4)
    monkeypatch.setattr(audit, "_STRETCH", 16)
    assert sealed.verify().findings == ()
    sealed.tamper("UPDATE entry SET kind = 'note' WHERE seq IN (20, 33)")
    sealed.tamper("DELETE FROM entry WHERE seq IN (48, 49)")
    assert [(finding.kind, finding.seq) for finding in sealed.verify().findings] == [
        ("altered", 20),
        ("altered", 33),
        ("missing", 48),
        ("missing", 49),
        ("altered", 50),
    ]
