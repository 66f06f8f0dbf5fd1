"""The check that the daemon has made finds what was done to the record, and needs little for it."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.errors import RetryLater
from bridge.store.audit import checkpoints
from bridge.store.checkpoint import read
from bridge.store.inspection import Task, inspect, inspect_apart, last_signed
from bridge.store.ledger import Ledger
from bridge.store.schema import EntryKind
from bridge.store.seal import seal
from tests.store.test_audit import Sealed, make


@pytest.fixture
def sealed(url: str, tmp_path: Path) -> Sealed:
    return make(url, tmp_path, 1)


def heads(sealed: Sealed) -> list[tuple[int, bytes]]:
    """Size and chain value of each checkpoint."""
    return [(head.size, head.chain) for head in (read(each.note) for each in checkpoints(sealed.url))]


def task(sealed: Sealed, since: tuple[int, bytes] | None = None) -> Task:
    return Task(sealed.url, sealed.note, sealed.public, since)


def test_an_intact_record_holds_from_each_checkpoint_on_and_as_a_whole(sealed: Sealed) -> None:
    for since in (None, *heads(sealed)[:-1]):
        found = inspect(task(sealed, since))
        assert (found.first, found.size, found.chain) == (None, sealed.last.size, sealed.last.chain)
        assert found.whole is (since is None)


def test_a_changed_entry_after_the_good_checkpoint_is_named(sealed: Sealed) -> None:
    good, *_ = heads(sealed)
    seq = good[0] + 2
    sealed.tamper("UPDATE entry SET at = at + 1 WHERE seq = :seq", seq=seq)
    for since in (None, good):
        first = inspect(task(sealed, since)).first
        assert first is not None
        assert (first.kind, first.seq) == ("altered", seq)
        assert f"entry {seq} " in first.message


def test_a_changed_entry_before_the_good_checkpoint_is_found_by_a_whole_check(sealed: Sealed) -> None:
    sealed.tamper("UPDATE entry SET salt = :salt WHERE seq = 3", salt=bytes(16))
    assert inspect(task(sealed, heads(sealed)[0])).first is None
    first = inspect(task(sealed)).first
    assert first is not None
    assert first.seq == 3


def test_entries_that_are_gone_and_a_chain_that_was_made_to_fit_are_found(sealed: Sealed) -> None:
    good, *_ = heads(sealed)
    sealed.remember()
    sealed.tamper("DELETE FROM entry WHERE seq = :seq", seq=good[0] + 1)
    first = inspect(task(sealed, good)).first
    assert first is not None
    assert (first.kind, first.seq) == ("missing", good[0] + 1)
    sealed.restore()
    sealed.tamper("UPDATE entry SET at = at + 1 WHERE seq = :seq", seq=good[0] + 1)
    sealed.rehash(good[0] + 1)
    first = inspect(task(sealed, good)).first
    assert first is not None
    assert (first.kind, first.seq) == ("rewritten", good[0] + 1)


def test_a_clock_that_was_set_back_is_not_a_broken_record(url: str, tmp_path: Path) -> None:
    sealed = make(url, tmp_path, 1)
    sealed.clock.now -= timedelta(days=2)
    with Ledger.open(url, now=sealed.clock) as ledger:
        ledger.record(EntryKind.PAUSE, {"by": "lea", "reason": ""}, sealed.clock())
        sealed.clock.now += timedelta(days=3)
        seal(ledger, sealed.key, tmp_path / "1.seen")
    note = (tmp_path / "1.seen").read_text()
    for since in (None, heads(sealed)[0]):
        assert inspect(replace(task(sealed, since), note=note)).first is None


def test_a_process_of_its_own_says_the_same_and_hands_back_errors(sealed: Sealed) -> None:
    assert inspect_apart(task(sealed)) == inspect(task(sealed))
    with pytest.raises(RetryLater, match="ended"):
        inspect_apart(task(sealed), lambda process: process.kill())


def test_a_note_that_another_key_has_signed_is_nothing_to_go_by(sealed: Sealed, tmp_path: Path) -> None:
    other = make(f"sqlite:///{tmp_path}/other.db", tmp_path, 2)
    assert last_signed(sealed.note, other.key) is None
    assert last_signed("", sealed.key) is None
    assert last_signed(sealed.note, sealed.key) == (sealed.last, sealed.public)


@pytest.mark.parametrize("whole", [True, False])
def test_a_longer_record_needs_hardly_more_memory(tmp_path: Path, whole: bool) -> None:
    short, long = 2_000, 8_000
    peaks = []
    for count in (short, long):
        sealed = make(f"sqlite:///{tmp_path}/{count}.db", tmp_path, count)
        seen = tmp_path / f"{count}.seen"
        with Ledger.open(sealed.url, now=sealed.clock) as ledger:
            with ledger.batch():
                for number in range(count):
                    ledger.record(EntryKind.PAUSE, {"by": "lea", "reason": f"{number:0200}"}, sealed.clock())
            seal(ledger, sealed.key, seen)
        since = None if whole else (sealed.last.size, sealed.last.chain)
        work = replace(task(sealed, since), note=seen.read_text())
        inspect(work)  # what is imported and remembered is so once
        tracemalloc.start()
        assert inspect(work).first is None
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # An entry is of 300 bytes and more; what stays of it is a part of a hash.
    assert peaks[1] - peaks[0] < 8 * (long - short)
