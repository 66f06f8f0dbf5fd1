"""When the record is checked, and that a person and the brake are called once."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.errors import ConfigError, RetryLater
from bridge.inspection import REST, Inspection, Inspector, Means, read_state
from bridge.store.audit import Finding
from bridge.store.inspection import Found

BAD = Finding("altered", 7, "entry 7 (activity) does not follow")


@dataclass
class Record:
    """A record that is sealed and tampered with by a test, and those who are called."""

    path: Path
    size: int | None = 10
    first: Finding | None = None
    fails: bool = False
    reachable: bool = True
    writable: bool = True
    now: datetime = datetime(2026, 11, 24, 9, tzinfo=UTC)
    asked: list[int | None] = field(default_factory=list)
    braked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def check(self, since: tuple[int, bytes] | None) -> Found:
        self.asked.append(None if since is None else since[0])
        if self.fails:
            raise RetryLater("no database")
        return Found(self.size or 0, b"\1" * 32, since is None, self.first)

    def brake(self, said: str) -> None:
        if not self.writable:
            raise ConfigError("paused cannot be written")
        self.braked.append(said)

    def tell(self, said: str) -> bool:
        self.told.append(said)
        return self.reachable

    def inspection(self) -> Inspection:
        means = Means(lambda: self.size, self.check, self.brake, self.tell, lambda: self.now)
        return Inspection(means, self.path, timedelta(days=1))

    def inspect(self) -> None:
        """By a daemon that was just started."""
        self.inspection().inspect()


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(tmp_path / "inspection.json")


def test_nothing_is_checked_before_there_is_a_checkpoint(record: Record) -> None:
    record.size = None
    record.inspect()
    assert record.asked == []
    assert read_state(record.path) is None


def test_the_whole_is_checked_once_a_day_and_what_is_new_after_each_checkpoint(record: Record) -> None:
    record.inspect()
    record.inspect()
    record.size = 20
    record.now += timedelta(hours=1)
    record.inspect()
    record.size = 30
    record.inspect()
    record.inspect()
    record.now += timedelta(hours=23)
    record.inspect()
    assert record.asked == [None, 10, 20, None]
    assert record.braked == record.told == []


def test_a_broken_record_puts_the_brake_on_and_is_told_once_while_it_stands(record: Record) -> None:
    record.inspect()
    record.first, record.size = BAD, 20
    for size in (20, 30, 40):
        record.size = size
        record.inspect()
    assert record.braked == record.told == [BAD.message]
    assert record.asked == [None, 10, None, None]  # only a whole check can tell that it was put right
    record.first, record.size = None, 50
    record.inspect()
    state = read_state(record.path)
    assert state is not None
    assert state.broken == ""
    record.first, record.size = BAD, 60
    record.inspect()
    assert record.told == [BAD.message] * 2


def test_another_finding_is_told_as_well(record: Record) -> None:
    record.first = BAD
    record.inspect()
    record.first, record.size = Finding("missing", 3, "entry 3 is missing"), 20
    record.inspect()
    assert record.braked == [BAD.message, "entry 3 is missing"]


def test_a_person_who_was_not_reached_is_called_again(record: Record) -> None:
    record.first, record.reachable = BAD, False
    record.inspect()
    record.reachable = True
    record.inspect()
    record.inspect()
    assert record.told == [BAD.message] * 2
    assert record.braked == [BAD.message]


def test_a_check_that_cannot_be_made_says_nothing_and_is_tried_again_later(record: Record) -> None:
    record.fails = True
    inspection = record.inspection()
    inspection.inspect()
    inspection.inspect()
    assert record.asked == [None]
    assert read_state(record.path) is None
    record.fails = False
    record.now += REST
    inspection.inspect()
    assert record.asked == [None, None]
    assert record.told == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"whole_at": 3}',
        '{"whole_at": "2026-11-24T08:00:00"}',
        '{"whole_at": "2026-11-24T08:00:00+00:00", "chain": "no hex"}',
        '{"whole_at": "2026-11-24T08:00:00+00:00", "seen": "many"}',
        '{"whole_at": "2999-01-01T00:00:00+00:00"}',
    ],
)
def test_a_file_that_says_nothing_or_speaks_of_a_time_to_come_is_not_believed(record: Record, content: str) -> None:
    record.path.write_text(content)
    record.inspect()
    assert record.asked == [None]


def test_cycles_end_when_the_brake_cannot_be_put_on(record: Record) -> None:
    record.first, record.writable = BAD, False
    inspection = record.inspection()
    inspection.inspect()
    assert record.told == [BAD.message]
    with pytest.raises(ConfigError, match="paused"):
        Inspector().look(inspection)


def test_cycles_that_ask_at_the_same_moment_have_one_thread_between_them(tmp_path: Path) -> None:
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # seconds: threads change places in the middle of nearly everything
    try:
        for _ in range(30):
            inspector, at_once = Inspector(), threading.Barrier(4)
            inspections = [Record(tmp_path / f"{number}.json", size=None).inspection() for number in range(4)]
            with ThreadPoolExecutor(4) as cycles:
                asked = [cycles.submit(_ask, inspector, inspection, at_once) for inspection in inspections]
            assert [each.exception() for each in asked] == [None] * 4
            inspector.close()
    finally:
        sys.setswitchinterval(switching)


def _ask(inspector: Inspector, inspection: Inspection, at_once: threading.Barrier) -> None:
    at_once.wait()
    inspector.look(inspection)
